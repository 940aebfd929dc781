/**
 * What may be written down. Two nets: the name of a field says that its value is a secret or somebody's words, or the value
 * itself looks like a credential. Both replace; neither drops, so that a reader sees that there was something.
 */

const REDACTED = "[redacted]";
const TRUNCATED = "[truncated]";
const MAX_DEPTH = 6;
const MAX_ITEMS = 50;
const MAX_CAUSES = 5;

// Compared without case, dashes and underscores, so that apiKey, api_key and API-KEY are one name.
const SECRET_NAMES = new Set([
  "accesskey",
  "accesstoken",
  "apikey",
  "authorization",
  "clientsecret",
  "connectionstring",
  "cookie",
  "credentials",
  "databaseurl",
  "idtoken",
  "internaltoken",
  "key",
  "passphrase",
  "passwd",
  "password",
  "privatekey",
  "refreshtoken",
  "secret",
  "secretaccesskey",
  "secretkey",
  "setcookie",
  "signature",
  "token",
  "xapikey",
  "xinternaltoken",
]);
// What a person or a model wrote.
const TEXT_NAMES = new Set([
  "answer",
  "body",
  "completion",
  "content",
  "delta",
  "document",
  "input",
  "messages",
  "output",
  "params",
  "prompt",
  "query",
  "quote",
  "request",
  "requestbodyvalues",
  "response",
  "responsebody",
  "result",
  "text",
  "variables",
]);

const CREDENTIALS: readonly RegExp[] = [
  /\b(?:Bearer|Basic)\s+[\w.~+/=-]{8,}/gi,
  // JSON Web Tokens: base64url of `{"`, then two more parts (RFC 7519).
  /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g,
  // Our API keys, and those of providers that write theirs as `sk-...`.
  /\b(?:sba|sk)[_-][\w-]{12,}/g,
];
/** The password in a URL: `postgres://user:password@host`. */
const URL_PASSWORD = /\b([a-z][a-z\d+.-]*:\/\/[^\s:/@]*):[^\s/@]+@/gi;

/** A copy that may be logged: of an error its name, code, message, stack and causes, of anything else what is harmless. */
export function redact(value: unknown): unknown {
  return redactValue(value, 0, new Set());
}

/** Text without the credentials in it. */
export function redactText(text: string): string {
  const withoutPasswords = text.replace(URL_PASSWORD, `$1:${REDACTED}@`);
  return CREDENTIALS.reduce((clean, pattern) => clean.replace(pattern, REDACTED), withoutPasswords);
}

function redactValue(value: unknown, depth: number, above: Set<object>): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Error) return redactError(value, 0);
  if (value instanceof Date) return value;
  if (depth >= MAX_DEPTH || above.has(value) || ArrayBuffer.isView(value)) return TRUNCATED;
  above.add(value);
  const copy = Array.isArray(value) ? redactItems(value, depth, above) : redactFields(value, depth, above);
  above.delete(value);
  return copy;
}

function redactItems(items: readonly unknown[], depth: number, above: Set<object>): unknown[] {
  const copy = items.slice(0, MAX_ITEMS).map((item) => redactValue(item, depth + 1, above));
  return items.length > MAX_ITEMS ? [...copy, TRUNCATED] : copy;
}

function redactFields(value: object, depth: number, above: Set<object>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      isHidden(name) ? hide(field) : redactValue(field, depth + 1, above),
    ]),
  );
}

/** Dotted attributes are judged by their last part: `http.request.authorization`. */
function isHidden(name: string): boolean {
  const plain = name
    .slice(name.lastIndexOf(".") + 1)
    .replaceAll(/[-_]/g, "")
    .toLowerCase();
  return SECRET_NAMES.has(plain) || TEXT_NAMES.has(plain);
}

/** Numbers and flags under such a name (counts, limits) are no secrets. */
function hide(field: unknown): unknown {
  return field === null || ["undefined", "number", "boolean"].includes(typeof field) ? field : REDACTED;
}

/** Only these fields: libraries hang whole requests, with their headers and prompts, on the errors that they throw. */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const code = "code" in error && ["string", "number"].includes(typeof error.code) ? error.code : undefined;
  const causes =
    depth < MAX_CAUSES && error.cause instanceof Error ? { cause: redactError(error.cause, depth + 1) } : {};
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    message: redactText(error.message),
    stack: redactText(error.stack ?? ""),
    ...causes,
  };
}
