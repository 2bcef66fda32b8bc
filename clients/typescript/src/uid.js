/**
 * Returns a new UUID of version 7 (RFC 9562), in lower case. Unlike `crypto.randomUUID`, it also works in pages without
 * HTTPS and in React Native. A uid must be unique among one user's tasks and lists; it is no secret.
 *
 * @returns {string}
 */
export function newUid() {
  const bytes = new Uint8Array(16);
  const source = /** @type {Crypto | undefined} */ (globalThis.crypto); // React Native has none
  if (source) source.getRandomValues(bytes);
  else bytes.forEach((_, at) => { bytes[at] = Math.random() * 256; });
  let now = Date.now();
  for (let at = 5; at >= 0; at -= 1) {
    bytes[at] = now % 256;
    now = Math.floor(now / 256);
  }
  bytes[6] = (bytes[6] & 15) | 112; // version 7
  bytes[8] = (bytes[8] & 63) | 128; // variant
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
