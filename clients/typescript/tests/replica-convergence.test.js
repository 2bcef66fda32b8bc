import assert from "node:assert/strict";
import { test } from "node:test";

import { converge } from "./convergence.js";
import { client, control } from "./service.js";

// DOABLE_SEEDS, such as "1-200", chooses the runs. `make trials` sets it: a random run is nothing for each change.
const { DOABLE_SEEDS: chosen = "" } = process.env;
const [first, last] = chosen.split("-").map(Number);
const TOGETHER = 4; // runs at the same time

test("replicas that write at random converge, and lose no write", { timeout: 3_600_000, skip: !chosen }, async () => {
  const { port } = await control({ start: { RATE_LIMIT: "off" } });
  let isOver = false;
  const probe = client({ url: `http://127.0.0.1:${port}`, backOff: 50, retries: 50 });
  const chaos = async () => {
    while (!isOver) {
      await new Promise((resolve) => { setTimeout(resolve, 700); });
      for (let answers = 0; answers < 10; answers += 1) await probe.tasks.list(); // on a slow machine, a life takes longer
      if (isOver) return;
      await control({ kill: port });
      await control({ start: { RATE_LIMIT: "off" }, port });
      totals.kills += 1;
    }
  };
  const seeds = Array.from({ length: last - first + 1 }, (_, at) => first + at);
  const totals = { seeds: 0, kills: 0, writes: 0, refusals: 0, rows: 0 };
  const failures = [];
  const killing = chaos();
  await Promise.all(Array.from({ length: TOGETHER }, async () => {
    for (let seed = seeds.shift(); seed; seed = seeds.shift()) {
      try {
        const result = await converge(seed, `http://127.0.0.1:${port}`);
        for (const [name, count] of Object.entries(result)) totals[name] += count;
        totals.seeds += 1;
      } catch (error) {
        failures.push(`seed ${seed}: ${error.stack}`);
      }
    }
  }));
  isOver = true;
  await killing;
  await control({ stop: port });
  console.log(JSON.stringify(totals));
  assert.deepEqual(failures, []);
});
