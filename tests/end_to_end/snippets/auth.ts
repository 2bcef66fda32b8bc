// Stands in for Better Auth on the server.
export const auth = { api: { getToken: async (_: { headers: Headers }) => ({ token: "a token" }) } };
