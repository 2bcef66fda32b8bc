import { SignedOutError } from "./errors.js";

/** @import { TokenSource } from "./token.js" */

/**
 * The client of Better Auth with its jwtClient() plugin, as far as it is needed here.
 *
 * @typedef {{token: () => Promise<{data: {token: string} | null, error: {status: number, statusText?: string} | null}>}} TokenClient
 */

/**
 * Returns the token function for the user who is signed in to Better Auth. A failing Better Auth is no sign-out.
 *
 *     const doable = createDoable({ url, token: betterAuthToken(authClient) });
 *
 * @param {TokenClient} client
 * @returns {TokenSource}
 */
export const betterAuthToken = (client) => async () => {
  const { data, error } = await client.token();
  if (error?.status === 401) throw new SignedOutError();
  if (!data) throw new Error(`Better Auth answered with status ${error?.status}.`);
  return data.token;
};
