// Stands in for Better Auth's client.
export const authClient = {
  token: async () => ({ data: { token: "a token" }, error: null }),
  signOut: async () => ({ data: { success: true }, error: null }),
};
