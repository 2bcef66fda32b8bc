/**
 * Returns a new UUID of version 7 (RFC 9562), in lower case. Unlike `crypto.randomUUID`, it also works in pages without
 * HTTPS and in React Native. A uid must be unique among one user's tasks and lists; it is no secret.
 *
 * @returns {string}
 */
export function newUid() {
  const bytes = new Uint8Array(9);
  const source = /** @type {Crypto | undefined} */ (globalThis.crypto); // React Native has none
  if (source) source.getRandomValues(bytes);
  else bytes.forEach((_, at) => { bytes[at] = Math.random() * 256; });
  const time = Date.now().toString(16).padStart(12, "0");
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  // After the time, the version and three digits, then the variant and fifteen digits.
  return (time + digits).replace(/(.{8})(.{4})(.{3})(.{3})/, "$1-$2-7$3-8$4-");
}
