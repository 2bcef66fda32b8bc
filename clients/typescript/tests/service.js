// What the tests share: a real service, tokens for it, and a network that can fail. tests/clients/test_typescript.py
// starts the service and sets the environment.
import { createHmac, randomUUID } from "node:crypto";
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";

import { createDoable } from "../src/index.js";

export const { DOABLE_URL: URL_OF_SERVICE, DOABLE_SECRET: SECRET, DOABLE_CONTROL: CONTROL } = process.env;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Signs a token as a frontend's auth server would. */
export function sign(sub, { seconds = 3600, secret = SECRET, ...claims } = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, iat, exp: iat + seconds, ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** Returns the id of a user whom no other test uses. */
export const newUser = (name = "user") => `${name}-${randomUUID()}`;

/** Creates a client of a new user. The waits before retries are short. */
export const client = ({ user = newUser(), ...options } = {}) =>
  createDoable({ url: URL_OF_SERVICE, token: sign(user), backOff: 50, ...options });

/** Waits until a condition holds, and returns its value. */
export async function eventually(condition) {
  for (const deadline = Date.now() + 60_000; ;) {
    const found = condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`Not within a minute: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Collects what callbacks of timers throw, which would end the process. @param {import("node:test").TestContext} t */
export function uncaught(t) {
  const thrown = [];
  const start = setTimeout;
  t.mock.method(globalThis, "setTimeout", (call, ...rest) => start(() => {
    try {
      call();
    } catch (error) {
      thrown.push(error.message);
    }
  }, ...rest));
  return thrown;
}

/** Sends a command to the control of tests/clients/control.py. */
export async function control(command) {
  const socket = createConnection(Number(CONTROL), "127.0.0.1");
  try {
    socket.write(`${JSON.stringify(command)}\n`);
    for await (const line of createInterface(socket)) return JSON.parse(line);
    throw new Error("The control has ended.");
  } finally {
    socket.destroy();
  }
}

/**
 * A TCP relay to the service: the network between it and a client. `cut` breaks all connections, `swallow` lets requests
 * through but breaks the connection when the response comes, `hold` lets nothing through in either direction.
 */
export class Network {
  sockets = new Set();
  swallowed = 0;
  connections = 0;
  isHeld = false;

  async open(target = URL_OF_SERVICE) {
    this.target = new URL(target);
    this.server = createServer((near) => {
      this.connections += 1;
      const far = createConnection(Number(this.target.port), this.target.hostname);
      for (const [from, to] of [[near, far], [far, near]]) {
        this.sockets.add(from);
        from.on("data", (data) => this.pass(from === far, data, near, far, to));
        from.on("error", () => {});
        from.on("close", () => { this.sockets.delete(from); to.destroy(); });
      }
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  pass(isResponse, data, near, far, to) {
    if (this.isHeld) return;
    if (isResponse && this.swallowed > 0) {
      this.swallowed -= 1;
      near.destroy();
    } else {
      to.write(data);
    }
  }

  /** Lose the next responses. */
  swallow(count = 1) {
    this.swallowed = count;
  }

  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Sends requests, but opens no stream: only reads after writes show what is new. */
export const withoutStream = (url, init) => (/\/events/.test(url)
  ? new Promise((_, reject) => { init.signal.addEventListener("abort", () => reject(init.signal.reason)); })
  : fetch(url, init));

/** Records the requests that a client sends, and sends them. */
export function recorder() {
  const sent = [];
  const send = (url, init) => {
    sent.push({ url: String(url), method: init.method, headers: { ...init.headers }, body: init.body });
    return fetch(url, init);
  };
  return { sent, fetch: send };
}
