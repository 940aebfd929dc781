import pg from "pg";

/**
 * Stored runs by the hundred thousand: one that has really run, copied with everything that belongs to it. What is in the
 * tables is then what runs leave behind, whatever that is.
 */

/** A table, which of its rows are the run's, and what is different in a copy. */
interface Table {
  readonly name: string;
  readonly where: string;
  readonly changed: Readonly<Record<string, string>>;
}

/** In a text that names the run, its call or its thread, those of the copy. */
const renamed = (column: string): string =>
  `replace(replace(replace(t.${column}::text, o.id::text, c.id::text), coalesce(o.call_id::text, '-'), c.call_id::text), o.thread_id::text, c.thread_id::text)`;
const callOf = "CASE WHEN t.tool_call_id IS NOT NULL THEN c.call_id END";

const TABLES: readonly Table[] = [
  { name: "agent.thread", where: "t.id = o.thread_id", changed: { id: "c.thread_id" } },
  { name: "agent.run", where: "t.id = o.id", changed: { id: "c.id", thread_id: "c.thread_id" } },
  { name: "agent.step", where: "t.run_id = o.id", changed: { run_id: "c.id", tool_call_id: callOf } },
  {
    name: "agent.message",
    where: "t.run_id = o.id",
    changed: { run_id: "c.id", tool_call_id: callOf, tool_calls: `${renamed("tool_calls")}::jsonb` },
  },
  { name: "integrations.tool_call", where: "t.run_id = o.id", changed: { id: "c.call_id", run_id: "c.id" } },
  { name: "billing.usage_record", where: "t.run_id = o.id", changed: { run_id: "c.id", key: renamed("key") } },
  { name: "platform.stream", where: "t.id = 'run:' || o.id", changed: { id: renamed("id") } },
  {
    name: "platform.event",
    where: "t.stream = 'run:' || o.id",
    changed: { stream: renamed("stream"), payload: `${renamed("payload")}::jsonb` },
  },
];

/** Copies the newest completed run until there are so many runs; returns how many there are. */
export async function fillRuns(adminUrl: string, runs: number): Promise<number> {
  const owner = new pg.Client({ connectionString: adminUrl });
  await owner.connect();
  try {
    // What is copied refers to what is copied: no need to look it up for each row.
    await owner.query("SET session_replication_role = replica; SET synchronous_commit = off");
    await owner.query(`
      CREATE TEMP TABLE original AS
        SELECT r.id, r.thread_id, (SELECT id FROM integrations.tool_call WHERE run_id = r.id LIMIT 1) AS call_id
        FROM agent.run r WHERE status = 'COMPLETED' ORDER BY id DESC LIMIT 1;
      CREATE TEMP TABLE copies AS
        SELECT uuidv7(age) AS id, uuidv7(age) AS thread_id, uuidv7(age) AS call_id
        FROM generate_series((SELECT count(*) FROM agent.run) + 1, ${runs}) n, LATERAL (SELECT n * interval '-1 minute') a (age)
        ORDER BY n DESC;
      ANALYZE original, copies`);
    for (const table of TABLES) await owner.query(await copyOf(owner, table));
    // What autovacuum does in time.
    await owner.query("VACUUM (ANALYZE)");
    const { rows } = await owner.query<{ count: number }>("SELECT count(*)::int AS count FROM agent.run");
    return rows[0]!.count;
  } finally {
    await owner.end();
  }
}

async function copyOf(owner: pg.Client, { name, where, changed }: Table): Promise<string> {
  const { rows } = await owner.query<{ name: string }>(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
    [name],
  );
  const columns = rows.map((row) => row.name);
  const values = columns.map((column) => changed[column] ?? `t."${column}"`);
  return `INSERT INTO ${name} (${columns.map((column) => `"${column}"`).join(", ")})
          SELECT ${values.join(", ")} FROM copies c CROSS JOIN original o JOIN ${name} t ON ${where}`;
}
