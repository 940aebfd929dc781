import pg from "pg";

/** What was sent to Postgres while `work` ran. */
export interface CountedStatements<T> {
  readonly result: T;
  /** The texts, without BEGIN, COMMIT, the setting of the tenant and wake-ups. */
  readonly statements: readonly string[];
}

// And wake-ups: what an earlier commit announces goes out by itself, a moment later.
const FRAME = /^\s*(BEGIN|COMMIT|ROLLBACK)\b|\bpg_notify\(/i;

/**
 * Counts the SQL statements of this process, for "one statement however many rows" tests. Nothing else may use the
 * database meanwhile: tests of one file run one after the other, workers that a test started are to be stopped first.
 */
export async function countStatements<T>(work: () => Promise<T>): Promise<CountedStatements<T>> {
  const statements: string[] = [];
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  const original = prototype.query;
  prototype.query = function query(...args: unknown[]) {
    const text = textOf(args[0]);
    if (!FRAME.test(text)) statements.push(text);
    return original.apply(this, args);
  };
  try {
    return { result: await work(), statements };
  } finally {
    prototype.query = original;
  }
}

function textOf(query: unknown): string {
  if (typeof query === "string") return query;
  return typeof query === "object" && query !== null && "text" in query ? String(query.text) : "";
}
