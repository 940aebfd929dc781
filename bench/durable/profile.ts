import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import pg from "pg";

/** `--profile <folder>`: where the time goes, by statement and by function, as text that people read. */

/** Of a Postgres whose statements are counted. Counting costs something: figures of a profiled run are not for comparing. */
export const STATEMENT_SETTINGS = {
  shared_preload_libraries: "pg_stat_statements",
  "pg_stat_statements.track": "all",
  "pg_stat_statements.track_planning": "on",
  "pg_stat_statements.max": "5000",
};

/** Begins to count anew. */
export function resetStatements(adminUrl: string): Promise<void> {
  return asOwner(adminUrl, async (owner) => {
    await owner.query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public");
    await owner.query("SELECT public.pg_stat_statements_reset()");
  });
}

export function analyse(adminUrl: string): Promise<unknown> {
  return asOwner(adminUrl, (owner) => owner.query("ANALYZE"));
}

interface StatementRow {
  readonly calls: number;
  readonly total: number;
  readonly planning: number;
  readonly rows: number;
  readonly blocks: number;
  readonly wal: number;
  readonly query: string;
}

/** Writes what was counted since, per run, the most expensive first. */
export function writeStatements(adminUrl: string, path: string, runs: number): Promise<void> {
  return asOwner(adminUrl, async (owner) => {
    // "all" counts a function's statements beside the statement that calls it: only the outer ones add up.
    const { rows } = await owner.query<StatementRow>(
      `SELECT calls::float8 / $1 AS calls, (total_exec_time + total_plan_time) / $1 AS total, total_plan_time / $1 AS planning,
              rows::float8 / $1 AS rows, (shared_blks_hit + shared_blks_read)::float8 / $1 AS blocks, wal_bytes::float8 / $1 AS wal,
              regexp_replace(query, '\\s+', ' ', 'g') AS query
       FROM public.pg_stat_statements
       WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY total_exec_time + total_plan_time DESC LIMIT 80`,
      [runs],
    );
    writeFileSync(path, formatStatements(rows));
  });
}

function formatStatements(rows: readonly StatementRow[]): string {
  const sum = (of: (row: StatementRow) => number): string => rows.reduce((total, row) => total + of(row), 0).toFixed(3);
  const line = ({ calls, total, planning, rows: count, blocks, wal, query }: StatementRow): string =>
    [
      ...[calls.toFixed(2), total.toFixed(4), planning.toFixed(4), count.toFixed(1), blocks.toFixed(0), wal.toFixed(0)],
      query.slice(0, 220),
    ].join("\t");
  return [
    `a run: ${sum(({ calls }) => calls)} statements, ${sum(({ total }) => total)} ms, of which planning ${sum(({ planning }) => planning)} ms`,
    "calls\tms\tplanning ms\trows\tblocks\tWAL bytes\tstatement",
    ...rows.map(line),
    "",
  ].join("\n");
}

async function asOwner<T>(adminUrl: string, work: (owner: pg.Client) => Promise<T>): Promise<T> {
  const owner = new pg.Client({ connectionString: adminUrl });
  await owner.connect();
  try {
    return await work(owner);
  } finally {
    await owner.end();
  }
}

/** As V8 writes it: https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile. Times are microseconds. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  readonly ms: number;
}

/** How long each function was at work itself, the longest first; idle time and the profiler are left out. */
export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): SelfTime[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const total = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? "(unknown)";
    if (!LEFT_OUT.test(name)) total.set(name, (total.get(name) ?? 0) + (timeDeltas[index] ?? 0) / 1000);
  }
  return [...total].map(([name, ms]) => ({ name, ms })).toSorted((a, b) => b.ms - a.ms);
}

/** Waiting, and the profiler itself, which stops the process for a second when it gives what it has. */
const LEFT_OUT = /^(\(idle\)|post node:inspector.*)$/;

function nameOf({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"]): string {
  if (url === "") return functionName;
  const path = url.startsWith("file:") ? relative(ROOT, new URL(url).pathname) : url;
  return `${functionName || "(anonymous)"} ${path.replace(/^.*node_modules\/(?!\.pnpm)/, "")}:${lineNumber + 1}`;
}

const ROOT = join(import.meta.dirname, "../..");
const SHOWN = 80;

/** Beside each profile of the folder, its functions by their own time. */
export function writeSelfTimes(folder: string): void {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"))) {
    const times = selfTimes(JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile);
    const all = times.reduce((sum, { ms }) => sum + ms, 0);
    const lines = times
      .slice(0, SHOWN)
      .map(({ name, ms }) => `${ms.toFixed(0)}\t${((ms / all) * 100).toFixed(1)} %\t${name}`);
    writeFileSync(join(folder, `${file}.txt`), `${[`${all.toFixed(0)} ms busy`, ...lines].join("\n")}\n`);
  }
}
