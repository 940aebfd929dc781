/** A file that people save. */
export interface Attachment {
  /** A file name. */
  readonly name: string;
  readonly mediaType: string;
  /** Of what is sent, when it is known. */
  readonly sizeBytes?: number | bigint | undefined;
}

/** What others wrote is never shown as part of this site: saved, not sniffed, and without scripts or an origin if opened all the same. */
export function attachmentHeaders({ name, mediaType, sizeBytes }: Attachment): Record<string, string> {
  return {
    "content-type": `${mediaType}; charset=utf-8`,
    ...(sizeBytes === undefined ? {} : { "content-length": String(sizeBytes) }),
    "content-disposition": `attachment; filename*=UTF-8''${encodeFileName(name)}`,
    "content-security-policy": "sandbox",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
  };
}

/** RFC 8187 section 3.2.1: what encodeURIComponent leaves and attr-char does not have is encoded too. */
function encodeFileName(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
