import pg from "pg";
import { repeatFor, timed, type Spell } from "../load.ts";
import { serveParent } from "./child.ts";
import { openHandingOn } from "./handed.ts";
import { TOKENS } from "./model.ts";

/**
 * What one would write by hand for the same three steps, on the same Postgres: a commit a step and nothing else. No tenants, no
 * leases, no budgets, no audit, nobody who follows. Each commit is one statement in one round trip.
 */

export interface HandwrittenLoad {
  readonly durationMs: number;
  readonly concurrency: number;
  /** Into how many rows the tokens of a run go. */
  readonly rows: number;
}

const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"], max: 16 });

await pool.query(`
  CREATE SCHEMA handwritten;
  CREATE TABLE handwritten.run (id uuid PRIMARY KEY, status text NOT NULL, input text NOT NULL, output text);
  CREATE TABLE handwritten.step (run_id uuid NOT NULL, number int NOT NULL, name text NOT NULL, result jsonb NOT NULL, PRIMARY KEY (run_id, number));
  CREATE TABLE handwritten.event (run_id uuid NOT NULL, seq int NOT NULL, payload jsonb NOT NULL, PRIMARY KEY (run_id, seq));
  CREATE TABLE handwritten.bare (id uuid PRIMARY KEY)`);

const PLAN = {
  name: "plan",
  text: `WITH accepted AS (INSERT INTO handwritten.run (id, status, input) VALUES ($1, 'running', $2)),
              kept AS (INSERT INTO handwritten.event SELECT $1, seq, payload::jsonb FROM unnest($3::text[]) WITH ORDINALITY AS e (payload, seq))
         INSERT INTO handwritten.step VALUES ($1, 1, 'plan', $4)`,
};
const TOOL = { name: "tool", text: "INSERT INTO handwritten.step VALUES ($1, 2, 'tool', $2)" };
const FINISH = {
  name: "finish",
  text: `WITH ended AS (UPDATE handwritten.run SET status = 'completed', output = $2 WHERE id = $1)
         INSERT INTO handwritten.step VALUES ($1, 3, 'finish', $3)`,
};
const ACCEPT = { name: "accept", text: "INSERT INTO handwritten.run (id, status, input) VALUES ($1, 'running', $2)" };
const READ_STEP = { name: "read", text: "SELECT * FROM handwritten.step WHERE run_id = $1" };
const COMMIT = { name: "commit", text: "INSERT INTO handwritten.bare VALUES ($1)" };

/** Milliseconds of each run. */
function runs({ durationMs, concurrency, rows }: HandwrittenLoad): Promise<Spell<number>> {
  return repeatFor(durationMs, concurrency, () => timed(() => runOnce(rows)));
}

async function runOnce(rows: number): Promise<void> {
  const id = crypto.randomUUID();
  const size = TOKENS.length / rows;
  const pieces = Array.from({ length: rows }, (_, row) => TOKENS.slice(row * size, (row + 1) * size).join(""));
  const events = pieces.map((text, index) => JSON.stringify({ stepNumber: 1, index, text }));
  const plan = { call: "look", params: { key: "bench" } };
  await pool.query({ ...PLAN, values: [id, "look it up", events, plan] });
  await pool.query({ ...TOOL, values: [id, { notes: [] }] });
  await pool.query({ ...FINISH, values: [id, "done", { text: "done" }] });
}

/** Milliseconds of each commit, of one row. */
function commits({ durationMs, concurrency }: Omit<HandwrittenLoad, "rows">): Promise<Spell<number>> {
  const insert = (): Promise<unknown> => pool.query({ ...COMMIT, values: [crypto.randomUUID()] });
  return repeatFor(durationMs, concurrency, () => timed(insert));
}

const handOn = await openHandingOn();

/** Milliseconds from a run's acceptance, in one commit, until its first step, which a worker has begun in another, is read. */
function firstSteps({ durationMs, concurrency }: Omit<HandwrittenLoad, "rows">): Promise<Spell<number>> {
  return repeatFor(durationMs, concurrency, () => timed(beginOne));
}

async function beginOne(): Promise<void> {
  const id = crypto.randomUUID();
  await pool.query({ ...ACCEPT, values: [id, "look it up"] });
  await handOn(id);
  const { rowCount } = await pool.query({ ...READ_STEP, values: [id] });
  if (rowCount !== 1) throw new Error(`the first step of ${id} is not there`);
}

serveParent({ runs, commits, firstSteps });
