// The pool: ten connections, each statement prepared once on each of them, rows as answers need them.
import { readFileSync } from "node:fs";
import postgres from "postgres";
import { PRIORITIES } from "./rules.mjs";

const file = readFileSync(new URL("statements.sql", import.meta.url), "utf8");
const statements = {};
for (const part of file.split(/^-- name: /m).slice(1)) {
  const end = part.indexOf("\n");
  statements[part.slice(0, end)] = part.slice(end).trim().replace(/;$/, "");
}

// "2026-11-25 23:05:00.1234+00" becomes "2026-11-25T23:05:00.123400Z"; no Date is made for it.
const moment = (text) => {
  const fraction = text.length > 22 ? text.slice(20, -3) : "";
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction.padEnd(6, "0")}Z`;
};

// The benchmark's PostgreSQL listens at a socket, in a folder that the URL names: postgresql://postgres:@/name?host=/folder
const [, database, folder] = /\/([^?/]*)\?host=(.*)$/.exec(process.env.DATABASE_URL);
const type = (oid, parse) => ({ to: oid, from: [oid], parse, serialize: String });

const sql = postgres({
  path: `${folder}/.s.PGSQL.5432`,
  user: "postgres",
  database,
  max: Number(process.env.POOL_SIZE),
  connection: { TimeZone: "UTC" },
  onnotice: () => {},
  types: {
    bigint: type(20, Number),
    priority: type(21, (text) => PRIORITIES[text]), // the one small integer
    date: type(1082, (text) => text),
    moment: type(1184, moment),
  },
});

// Each connection prepares a statement once, and is sent the next one before it has answered the last.
export const ask = (name, values) => sql.unsafe(statements[name], values, { prepare: true });

export const start = (schema) => sql.unsafe(schema);
