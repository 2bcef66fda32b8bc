// Entity tags (RFC 9110 section 8.8.3) and the headers that carry them.
const ONE = /^\s*(?:W\/)?"([^"]*)"\s*$/;

export const etagOf = (row) => `"${row.version}"`;
export const listEtag = (revision, mark) => `"${revision}-${mark}"`;

// The strong tags of If-Match; null for what is no list of tags. A weak one matches nothing.
export const tagsOf = (header) => {
  const found = [];
  for (const part of header.split(",")) {
    const match = ONE.exec(part);
    if (match === null) return null;
    found.push(part.trimStart().startsWith("W/") ? "" : match[1]);
  }
  return found;
};

export const knows = (header, etag) =>
  header === etag || header === "*" || header.split(",").some((part) => part.trim().replace(/^W\//, "") === etag);
