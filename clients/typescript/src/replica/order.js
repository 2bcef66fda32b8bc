// Order keys in the format of the npm package fractional-indexing: an integer, then a fraction, both in base 62. The first
// character of the integer tells its length: 2 for "a" to 27 for "z", and 2 for "Z" to 27 for "A". Keys are compared as
// strings. A fraction does not end with the digit 0.

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FIRST = "UV00000"; // after the keys that the service gives to new tasks
const LONGEST = 100; // characters that the service accepts

/**
 * Returns a key between two others. Returns undefined if there is no room, or if the integer would need another length:
 * the service then makes the key.
 *
 * @param {string | undefined} before undefined: no key is before it
 * @param {string | undefined} after undefined: no key is after it
 * @returns {string | undefined}
 */
export function keyBetween(before, after) {
  if (before === undefined && after === undefined) return FIRST;
  if (before === undefined) {
    const integer = integerOf(/** @type {string} */ (after));
    return integer < /** @type {string} */ (after) ? integer : step(integer, -1);
  }
  if (!before || (after !== undefined && before >= after)) return undefined; // the service has not made the key yet
  const integer = integerOf(before);
  const fraction = before.slice(integer.length);
  const next = step(integer, 1);
  const key = after?.startsWith(integer) ? integer + middle(fraction, after.slice(integer.length))
    : next && (!after || next < after) ? next : integer + middle(fraction);
  return key.length > LONGEST ? undefined : key;
}

/** @param {string} key */
function integerOf(key) {
  const head = key.charCodeAt(0);
  return key.slice(0, head > 96 ? head - 95 : 92 - head);
}

/**
 * Returns the next or the previous integer of the same length; undefined if there is none.
 *
 * @param {string} integer
 * @param {1 | -1} by
 */
function step(integer, by) {
  const [last, first] = by > 0 ? "z0" : "0z";
  let at = integer.length - 1;
  while (integer[at] === last) at -= 1;
  if (at < 1) return undefined;
  return integer.slice(0, at) + DIGITS[DIGITS.indexOf(integer[at]) + by] + first.repeat(integer.length - 1 - at);
}

/**
 * Returns a fraction between two others. Without `after`, it is below 1.
 *
 * @param {string} before
 * @param {string} [after]
 * @returns {string}
 */
function middle(before, after) {
  const low = DIGITS.indexOf(before[0] ?? "0");
  const high = after ? DIGITS.indexOf(after[0]) : 62;
  if (high - low > 1) return DIGITS[(low + high) >> 1];
  if (high > low && after && after.length > 1) return after[0];
  return DIGITS[low] + middle(before.slice(1), high > low ? undefined : after?.slice(1));
}
