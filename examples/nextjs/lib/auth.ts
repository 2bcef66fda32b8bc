// Better Auth, on the server. The users of this example are in memory, until it ends; give your own app a database.
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { jwt } from "better-auth/plugins";
import { randomBytes } from "node:crypto";

const create = () => betterAuth({
  baseURL: process.env.BETTER_AUTH_URL ?? "http://localhost:3000", // equal to BETTER_AUTH_URL of Doable
  secret: process.env.BETTER_AUTH_SECRET ?? randomBytes(32).toString("base64"),
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  emailAndPassword: { enabled: true },
  rateLimit: process.env.BETTER_AUTH_RATE_LIMIT === "off" ? { enabled: false } : undefined, // for tests
  plugins: [jwt()],
});

// `next dev` loads this file again after each change; the users must survive that.
const kept = globalThis as { auth?: ReturnType<typeof create> };
export const auth = (kept.auth ??= create());
