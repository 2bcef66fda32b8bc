// A Better Auth client for Node. Without a browser there is no cookie store, so it sends the session as a bearer header.
import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export function createSession(baseURL) {
  let session;
  return createAuthClient({
    baseURL,
    plugins: [jwtClient()],
    fetchOptions: {
      headers: { Origin: new URL(baseURL).origin }, // browsers send it automatically; Better Auth's CSRF check requires it
      auth: { type: "Bearer", token: () => session },
      onSuccess: ({ response }) => { session = response.headers.get("set-auth-token") ?? session; },
    },
  });
}

/** Signs up a new user. Resolves to the credentials for signIn.email(). */
export async function signUp(authClient) {
  const credentials = { email: `ada.${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() };
  answer(await authClient.signUp.email({ name: "Ada", ...credentials }));
  return credentials;
}

/** Returns the data of a Better Auth response. Better Auth reports errors in a field; this function throws them. */
export function answer({ data, error }) {
  if (error) throw new Error(`Better Auth returned ${error.status}: ${error.message ?? error.statusText}`);
  return data;
}
