// Signs up a new user at Better Auth, gets the user's token, and creates a task in Doable.
//   --print-token  prints the whole token too
//   --token-only   prints only the token, for tests and shells
import { decodeJwt, decodeProtectedHeader } from "jose";
import { createDoableFetch } from "./client.mjs";
import { answer, createSession, signUp } from "./session.mjs";

const { env, argv } = process;
const authURL = env.BETTER_AUTH_URL || "http://localhost:3000";
const doableURL = env.DOABLE_URL || "http://localhost:8000";
const authClient = createSession(authURL);

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

async function main() {
  const credentials = await reach("Better Auth", authURL, "Start it with npm start.", signUp(authClient));
  if (argv.includes("--token-only")) return console.log(await token());

  answer(await authClient.signIn.email(credentials));
  console.log(`Signed up and in as ${credentials.email}`);
  const jwt = await token();
  console.log("Token header:", decodeProtectedHeader(jwt));
  console.log("Token claims:", decodeJwt(jwt));
  if (argv.includes("--print-token")) console.log(jwt);

  const doableFetch = createDoableFetch(authClient, doableURL);
  const created = await doable(doableFetch("/api/me/tasks", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Try Doable with Better Auth" }),
  }));
  console.log(`Created task ${created.id}:`, created);
  const tasks = await doable(doableFetch("/api/me/tasks"));
  console.log(`Doable lists ${tasks.length} task(s) of this user: ${tasks.map(({ title }) => title).join(", ")}`);
}

async function token() {
  return answer(await authClient.token()).token;
}

async function doable(request) {
  const response = await reach("Doable", doableURL, "See Doable's README for how to start it.", request);
  const body = await response.text();
  if (!response.ok) throw new Error(`Doable returned ${response.status}: ${body}`);
  return JSON.parse(body);
}

/** Adds the address and the cause to the error of fetch(), whose message is only "fetch failed". */
async function reach(name, url, how, request) {
  try {
    return await request;
  } catch (error) {
    if (!error.cause) throw error;
    throw new Error(`${name} cannot be reached at ${url} (${error.cause.code ?? error.cause.message}). ${how}`);
  }
}
