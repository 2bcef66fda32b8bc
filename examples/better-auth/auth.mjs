// Configures Better Auth for this example: e-mail and password, and the jwt() plugin, whose tokens Doable accepts.
import { randomBytes } from "node:crypto";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { createAuthEndpoint } from "better-auth/api";
import { getMigrations } from "better-auth/db/migration";
import { bearer, jwt } from "better-auth/plugins";
import { SignJWT } from "jose";

const { env } = process;

const KEY_PAIR_ALGORITHMS = ["EdDSA", "ES256", "ES512", "RS256", "PS256"];
const algorithm = env.JWT_ALG || "EdDSA";

if (![...KEY_PAIR_ALGORITHMS, "HS256"].includes(algorithm)) {
  throw new Error(`JWT_ALG is ${algorithm}; it must be one of ${KEY_PAIR_ALGORITHMS.join(", ")}, HS256.`);
}
// A random secret is enough only for a short test. Doable must know the secret for HS256, and it encrypts stored keys.
if (!env.BETTER_AUTH_SECRET && (algorithm === "HS256" || env.DATABASE_URL)) {
  throw new Error("Set BETTER_AUTH_SECRET (openssl rand -base64 32): JWT_ALG=HS256 and DATABASE_URL both need a permanent secret.");
}
const secret = env.BETTER_AUTH_SECRET || randomBytes(32).toString("base64");

/** The PostgreSQL pool if DATABASE_URL is set, otherwise null: all data is in memory and lost at the end. */
export const pool = env.DATABASE_URL ? await openPool(env.DATABASE_URL) : null;

async function openPool(connectionString) {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString });
  pool.on("error", (error) => console.error(`PostgreSQL closed an idle connection: ${error.message}`)); // without a listener, this error ends the process
  return pool;
}

/** `baseURL` becomes `iss` and `aud` of every token, so it must be equal to Doable's BETTER_AUTH_URL. */
export async function createAuth(baseURL) {
  const options = {
    baseURL,
    secret,
    database: pool ?? memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
    emailAndPassword: { enabled: true },
    plugins: [
      algorithm === "HS256" ? jwtFromSecret(baseURL) : jwtFromKeyPair(),
      bearer(), // lets clients without cookies (scripts, mobile apps) send their session token as a header
      ...(env.DEV_ENDPOINTS === "1" ? [keyRotation] : []),
    ],
  };
  if (pool) await (await getMigrations(options)).runMigrations(); // before betterAuth(), which reports missing tables
  return betterAuth(options);
}

/** Better Auth's default: it creates a key pair and publishes the public key at /api/auth/jwks. */
function jwtFromKeyPair() {
  return jwt({
    jwks: {
      keyPairConfig: { alg: algorithm },
      rotationInterval: seconds("JWKS_ROTATION_SECONDS"),
      gracePeriod: seconds("JWKS_GRACE_SECONDS"),
    },
    jwt: { expirationTime: env.JWT_LIFETIME || "15m" },
  });
}

/** A secret shared with Doable instead of a key pair. There is no public key, so /api/auth/jwks returns 404. */
function jwtFromSecret(baseURL) {
  const key = new TextEncoder().encode(secret);
  return jwt({
    // Better Auth requires these two for `sign`; it never fetches the address.
    jwks: { remoteUrl: `${baseURL}/api/auth/jwks`, keyPairConfig: { alg: algorithm } },
    jwt: {
      expirationTime: env.JWT_LIFETIME || "15m",
      sign: (claims, header) => new SignJWT(claims).setProtectedHeader({ typ: "JWT", ...header, alg: algorithm }).sign(key),
    },
  });
}

/**
 * POST /api/auth/dev/rotate-keys ends the lifetime of the current key, like the end of a rotation interval. The next
 * token gets a new key. The old key stays published for its grace period.
 */
const keyRotation = {
  id: "dev-key-rotation",
  endpoints: {
    rotateKeys: createAuthEndpoint("/dev/rotate-keys", { method: "POST" }, async (ctx) => {
      const { adapter } = ctx.context;
      const now = new Date();
      const live = (await adapter.findMany({ model: "jwks" })).filter((key) => !key.expiresAt || key.expiresAt > now);
      for (const { id } of live) {
        await adapter.update({ model: "jwks", where: [{ field: "id", value: id }], update: { expiresAt: now } });
      }
      return ctx.json({ retired: live.map(({ id }) => id) });
    }),
  },
};

function seconds(name) {
  if (!env[name]) return undefined;
  const value = Number(env[name]);
  if (!(value > 0)) throw new Error(`${name} is ${env[name]}; it must be a positive number of seconds.`);
  return value;
}
