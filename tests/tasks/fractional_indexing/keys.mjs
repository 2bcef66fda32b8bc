// Compute order keys with versions 4 and 3 of fractional-indexing. Read what to compute from stdin as JSON:
// - `inserts`: sequences of places in a list that is empty first. Each insert gives [below, above, key].
// - `between`: pairs of a lower and an upper key. Each gives a key, or {"refused": the message}.
// - `first`: pairs of a key and a number. Each gives the keys of so many inserts at the start, before this key.
// - `spread`: numbers of keys. Each gives the keys.
// The answer is one object with these members for each version, as JSON on stdout.
import { readFileSync } from "node:fs";
import * as four from "fractional-indexing";
import * as three from "fractional-indexing-3";

const wanted = JSON.parse(readFileSync(0, "utf8"));

function insert(version, places) {
  const keys = [];
  return places.map((place) => {
    const [below, above] = [keys[place - 1] ?? null, keys[place] ?? null];
    const key = version.generateKeyBetween(below, above);
    keys.splice(place, 0, key);
    return [below, above, key];
  });
}

function between(version, below, above) {
  try {
    return version.generateKeyBetween(below, above);
  } catch (error) {
    return { refused: error.message };
  }
}

function first(version, key, number) {
  return Array.from({ length: number }, () => (key = version.generateKeyBetween(null, key)));
}

const computed = [four, three].map((version) => ({
  inserts: wanted.inserts.map((places) => insert(version, places)),
  between: wanted.between.map(([below, above]) => between(version, below, above)),
  first: wanted.first.map(([key, number]) => first(version, key, number)),
  spread: wanted.spread.map((number) => version.generateNKeysBetween(null, null, number)),
}));
process.stdout.write(JSON.stringify(computed));
