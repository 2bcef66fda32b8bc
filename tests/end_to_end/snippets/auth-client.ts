// Stands in for Better Auth's client: the token comes from the environment, and signing out takes it away.
type Answer = { data: { token: string } | null; error: { status: number } | null };

export const session = { isSignedIn: true, asked: 0, failures: 0 };
export const authClient = {
  $store: { listen: (_name: string, _heard: () => void) => {} },
  async token(): Promise<Answer> {
    session.asked += 1;
    if (!session.isSignedIn) return { data: null, error: { status: 401 } };
    if (session.failures-- > 0) return { data: null, error: { status: 503 } };
    return { data: { token: process.env.TOKEN! }, error: null };
  },
};
