// A Better Auth client for Node, where no browser keeps the session cookie: the session travels as a bearer header.
import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export function createSession(baseURL) {
  let session;
  return createAuthClient({
    baseURL,
    plugins: [jwtClient()],
    fetchOptions: {
      headers: { Origin: new URL(baseURL).origin }, // browsers send it by themselves; Better Auth's CSRF check wants it
      auth: { type: "Bearer", token: () => session },
      onSuccess: ({ response }) => { session = response.headers.get("set-auth-token") ?? session; },
    },
  });
}

/** Signs a new user up; resolves to the credentials that signIn.email() takes. */
export async function signUp(authClient) {
  const credentials = { email: `ada.${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() };
  answer(await authClient.signUp.email({ name: "Ada", ...credentials }));
  return credentials;
}

/** The data of a Better Auth answer, which reports failures as a field rather than by throwing. */
export function answer({ data, error }) {
  if (error) throw new Error(`Better Auth answered ${error.status}: ${error.message ?? error.statusText}`);
  return data;
}
