// The panel "On the wire", and the switch that takes this device offline. All tabs of a device show the same lines, because
// one of them sends for all.

const KEPT = 60; // lines
const $ = (id) => document.getElementById(id);

/**
 * Returns the `fetch` for the client, and the channel between the tabs.
 *
 * @param {{device: string, storage: Storage, hear: (message: any) => void, onSwitch: () => void}} options `device` names
 *   the tabs that share a copy; `storage` keeps the switch; `hear` gets the messages of the other tabs
 */
export function openWire({ device, storage, hear, onSwitch }) {
  const tab = crypto.randomUUID();
  const channel = new BroadcastChannel(`playground:${device}`);
  const lines = new Map(); // by id, the oldest first
  let last = 0;
  let leader; // the tab that has the stream
  let connection = new AbortController();

  const isOffline = () => storage.getItem("playground.offline") !== null || !navigator.onLine;

  /** Draws a line, here and in the other tabs. */
  function show(line, isOurs = true) {
    const { id, kind, path, status, from } = line;
    if (isOurs) channel.postMessage({ line });
    if (path === "/events" && status === 200) leader = from;
    $("stream").textContent = leader ? `One stream, in ${leader === tab ? "this tab" : "another tab"}` : "";
    document.body.dataset.leads = leader === tab;
    const old = lines.get(id)?.element;
    const element = $("line").content.firstElementChild.cloneNode(true);
    element.dataset.kind = kind;
    for (const part of ["method", "path", "status", "time", "detail"]) element.querySelector(`.${part}`).textContent = line[part];
    lines.set(id, { line, element });
    if (old) old.replaceWith(element);
    else $("log").prepend(element);
    if (lines.size <= KEPT) return;
    const [oldest] = lines.keys();
    lines.get(oldest).element.remove();
    lines.delete(oldest);
  }

  /** Adds a line. Returns a function that changes it. */
  function note(method, path, detail, kind = "open", status = "") {
    const line = { id: `${tab} ${last += 1}`, from: tab, time: new Date().toLocaleTimeString("en-GB"), method, path, detail, kind, status };
    show(line);
    return (changes) => show(Object.assign(line, changes));
  }

  /** Reads the events of a stream while the client does. */
  function overhear(response) {
    let rest = "";
    const events = new TransformStream({ transform(part, next) {
      next.enqueue(part);
      const blocks = (rest + new TextDecoder().decode(part)).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const [, type, data] = /^event: ?(task|list|reset)[^]*?^data: ?(.*)$/m.exec(block) ?? [];
        const { title, name, version, deleted } = JSON.parse(data ?? "{}");
        if (type) note("EVENT", `${type} ${title ?? name ?? ""}`, deleted ? "deleted" : `version ${version}`, "event", "SSE");
      }
    } });
    return new Response(response.body.pipeThrough(events), response);
  }

  channel.onmessage = ({ data }) => {
    if (data.line) show(data.line, false);
    if (data.hello && leader === tab) for (const { line } of lines.values()) channel.postMessage({ line });
    hear(data);
  };
  channel.postMessage({ hello: true });

  function change() {
    if (isOffline()) connection.abort();
    else if (connection.signal.aborted) connection = new AbortController();
    $("offline").checked = isOffline();
    onSwitch();
  }
  $("offline").addEventListener("change", ({ target }) => {
    if (target.checked) storage.setItem("playground.offline", "");
    else storage.removeItem("playground.offline");
    change();
    if (!target.checked) dispatchEvent(new Event("online")); // the client waits for it
  });
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== "playground.offline") return;
    change();
    if (newValue === null) dispatchEvent(new Event("online"));
  });
  for (const name of ["online", "offline"]) addEventListener(name, change);
  $("offline").checked = isOffline();

  return {
    isOffline,
    post: (message) => channel.postMessage(message),

    /** Sends a request, unless the device is offline. */
    async fetch(address, init = {}) {
      if (isOffline()) throw new TypeError("This device is offline.");
      const { pathname, search } = new URL(address, location.href);
      const { operations } = JSON.parse(init.body ?? "{}");
      const sent = operations?.map(({ op, if_version: version }) => op + (version ? ` if_version ${version}` : "")).join(", ")
        ?? Object.entries(init.headers ?? {}).filter(([name]) => /^(Last-Event-ID|If-Match|Idempotency-Key)$/.test(name))
          .map(([name, value]) => `${name}: ${value.slice(0, 8)}…`).join(", ");
      const end = note(init.method ?? "GET", pathname.replace(/^\/api\/[^/]+/, "") + search, sent);
      const signal = AbortSignal.any([connection.signal, init.signal].filter(Boolean));
      try {
        const response = await fetch(address, { ...init, signal });
        const results = operations && response.ok ? (await response.clone().json()).results : [];
        const got = results.map(({ status, error }) => (error ? `${status} ${error.code}` : status)).join(", ");
        const kind = results.some(({ status }) => status === 412) ? "conflict" : response.ok ? "ok" : "failed";
        end({ status: response.status, kind, detail: [sent, got].filter(Boolean).join(" → ") });
        return pathname.endsWith("/events") && response.ok ? overhear(response) : response;
      } catch (error) {
        end({ kind: "failed", status: "—", detail: signal.aborted ? "cut off" : "no answer" });
        throw error;
      }
    },
  };
}
