import pg from "pg";

/** What was sent to Postgres while `work` ran. */
export interface CountedStatements<T> {
  readonly result: T;
  /** The texts, without BEGIN, COMMIT, the setting of the tenant and wake-ups. */
  readonly statements: readonly string[];
  /** How often something of them was sent: statements that travel together are sent once. */
  readonly trips: number;
}

// And wake-ups: what an earlier commit announces goes out by itself, a moment later.
const FRAME = /^\s*(BEGIN|COMMIT|ROLLBACK|SELECT set_config\('app\.current_tenant', \$1, true\))|\bpg_notify\(/i;

/**
 * Counts the SQL statements of this process, for "one statement however many rows" tests. Nothing else may use the
 * database meanwhile: tests of one file run one after the other, workers that a test started are to be stopped first.
 */
export async function countStatements<T>(work: () => Promise<T>): Promise<CountedStatements<T>> {
  const statements: string[] = [];
  let trips = 0;
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  const original = prototype.query;
  prototype.query = function query(...args: unknown[]) {
    const sent = textsOf(args[0]).filter((text) => !FRAME.test(text));
    statements.push(...sent);
    if (sent.length > 0) trips++;
    return original.apply(this, args);
  };
  try {
    const result = await work();
    return { result, statements, trips };
  } finally {
    prototype.query = original;
  }
}

/** Of a statement that is sent alone, or of those that travel together. */
function textsOf(query: unknown): readonly string[] {
  if (typeof query === "string") return [query];
  if (typeof query !== "object" || query === null) return [];
  if ("texts" in query) return query.texts as string[];
  return "text" in query ? [String(query.text)] : [];
}
