// Shows the API's description with Scalar, in the project's colours. It asks no other server for anything.

// The page's policy allows only styles that carry its nonce. Scalar and its libraries insert theirs by script.
const { content: nonce } = document.querySelector("meta[property=csp-nonce]");
const createElement = document.createElement.bind(document);
document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
};

const OFF = { "x-disabled": true }; // Scalar's word for a parameter that is listed, and not sent until it is ticked

let demo = null; // { user, token } of the playground; only where the service hands one out, which is in development
let prefilled = "";
let until = 0;

async function signIn() {
  const answer = await fetch(document.body.dataset.session);
  if (!answer.ok) return;
  demo = await answer.json();
  prefilled ||= demo.token;
  until = Date.now() + 10 * 60_000; // a token lasts 15 minutes
}

/** Send a request of the page. The token that it was prefilled with is exchanged for a fresh one before it expires. */
async function send(...given) {
  const request = new Request(...given);
  if (demo && request.headers.get("Authorization") === `Bearer ${prefilled}`) {
    if (Date.now() > until) await signIn();
    request.headers.set("Authorization", `Bearer ${demo.token}`);
  }
  return fetch(request);
}

/** The newest task of the demo user, which the examples are about; before there is any, the one that will be first. */
async function newestTask() {
  const answer = await send("/api/me/tasks?limit=1", { headers: { Authorization: `Bearer ${prefilled}` } });
  const [task] = answer.ok ? await answer.json() : [];
  return task?.id ?? 1;
}

/** Fill in what a request needs and leave the rest to be ticked, so that each example works as it stands. */
function prepare(description, values) {
  description.tags = description.tags.filter(({ name }) => name !== "Documentation"); // that is this page
  for (const item of Object.values(description.paths)) {
    for (const operation of Object.values(item)) {
      operation["x-scalar-ignore"] = operation.tags.includes("Documentation");
      const bodies = Object.values(operation.requestBody?.content ?? {});
      const names = ["default", ...bodies.flatMap((body) => Object.keys(body.examples ?? {}))];
      for (const parameter of operation.parameters ?? []) {
        const { example, required, schema } = parameter;
        const value = required
          ? example === undefined ? "" : (values[parameter.name] ?? example)
          : (schema.examples?.[0] ?? schema.default ?? schema.enum?.[0]);
        if (value === undefined) continue;
        const shown = required ? { value } : { value, ...OFF };
        parameter.examples = Object.fromEntries(names.map((name) => [name, shown]));
        delete parameter.example;
      }
    }
  }
  for (const schema of Object.values(description.components.schemas)) delete schema.not; // Scalar shows it as fields
  return description;
}

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: address, onload: resolve, onerror: reject });
    document.head.append(script);
  });
}

const loaded = load(document.getElementById("scalar").href);
if (document.body.dataset.session) await signIn();
const description = await (await fetch("/openapi.json")).json();
const values = demo ? { user_id: demo.user, task_id: await newestTask() } : {};

await loaded;
Scalar.createApiReference("#reference", {
  content: prepare(description, values),
  authentication: demo ? { preferredSecurityScheme: "token", securitySchemes: { token: { token: prefilled } } } : {},
  customFetch: send,
  slug: "v1",
  generateOperationSlug: (operation) => operation.operationId,
  defaultHttpClient: { targetKey: "js", clientKey: "fetch" },
  theme: "none",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  documentDownloadType: "none",
  persistAuth: false,
});
