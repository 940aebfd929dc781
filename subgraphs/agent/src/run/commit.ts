import { bigints, booleans, floats, ints, texts, times, uuids } from "@sba/platform/columns";
import { isRequirementFailure, withTenant, withTenantByKey, type Tx } from "@sba/platform/db";
import { appendEvents, gatherEvents, isAnnounced, type NewEvent, type StreamEvent } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { openGroup } from "@sba/platform/group";
import { LEASE_MS } from "@sba/platform/lease";
import { currentTraceId } from "@sba/platform/telemetry";
import { errors } from "../errors.ts";
import { runStream } from "../events.ts";
import { appendMessages } from "../thread/message.ts";
import { openDraft, reopenSession, type Draft, type Session } from "./session.ts";

/**
 * How a step is committed: with those of the tenant's other runs that are ready at the same moment, in one transaction and one
 * round trip (docs/adr/0009). Each is held to its own run's fence and revision: one that is refused is left out, and the others
 * are committed without it.
 */

/**
 * Lets `compose` decide what to write, and writes it; when somebody changed the run meanwhile, lets it decide again from
 * what is committed then.
 * @throws AGENT_RUN_LEASE_LOST
 */
export async function commit<T>(
  session: Session,
  compose: (draft: Draft) => T,
): Promise<{ readonly session: Session; readonly result: T }> {
  for (let current = session; ; current = await reopenSession(current)) {
    const draft = openDraft(current);
    const result = compose(draft);
    try {
      await write(current.run, draft);
      return { session: draft, result };
    } catch (error) {
      if (!isRequirementFailure(error, CHANGED)) throw error;
    }
  }
}

const CHANGED = "AGENT_RUN_CHANGED";
const LOST = "AGENT_RUN_LEASE_LOST";

/** What a step writes, and the run as it has to be for that. */
interface StepWrite {
  readonly before: RunRow;
  readonly draft: Draft;
  readonly traceId: string | undefined;
}

/** Text of a step under way, in the order in which it was said. */
export interface TextWrite {
  readonly run: Pick<RunRow, "id" | "tenantId" | "fence">;
  readonly text: NewEvent;
  readonly traceId: string | undefined;
}

function write(before: RunRow, draft: Draft): Promise<unknown> {
  if (draft.journal.some(isAnnounced)) return withTenant(draft.caller, (tx) => writeAnnounced(tx, before, draft));
  const asked = { before, draft, traceId: currentTraceId() };
  // Budgets are locked in the order of their keys, run by run, and a parent after its child: those of two runs in one transaction
  // would not be.
  const endsDelegation = draft.run.parentRunId !== null && draft.run.endedAt !== null;
  if (!draft.run.budgeted && !endsDelegation) return writeTogether(draft.caller, asked);
  return withTenantByKey(draft.caller, (tx) => {
    writeAll(tx, [asked]);
    return Promise.resolve();
  });
}

/**
 * Appends text to a run's stream, under the lease that it was written in: nobody sees a piece that a crash can take back, and a
 * worker that lost its lease can add none.
 * @throws AGENT_RUN_LEASE_LOST
 */
export async function appendText(run: TextWrite["run"], text: NewEvent): Promise<void> {
  try {
    await writeTogether(run, { run, text, traceId: currentTraceId() });
  } catch (error) {
    throw isRequirementFailure(error, LOST) ? errors.AGENT_RUN_LEASE_LOST() : error;
  }
}

const writeTogether = openGroup<StepWrite | TextWrite, void>({
  keyOf: (each) => ("draft" in each ? keyOf(each.before) : keyOf(each.run)),
  work: (tx, writes) => {
    writeAll(tx, writes);
    return Promise.resolve([]);
  },
});

function keyOf({ id, fence }: Pick<RunRow, "id" | "fence">): string {
  return `${id} ${fence}`;
}

function writeAll(tx: Tx, writes: readonly (StepWrite | TextWrite)[]): void {
  // Locks are taken in the order of ids.
  const sorted = writes.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : idOf(a) > idOf(b) ? 1 : 0));
  for (const each of sorted) {
    if ("draft" in each) tx.gather(updateRuns, [rowOf(each)]);
    else tx.gather(holdRuns, [each.run]);
  }
  // What these take is taken when all runs are held: a stream of many, as the inbox is, while a run is waited for would be too early.
  for (const each of sorted) if ("draft" in each) writeDraft(tx, each.draft);
  for (const each of sorted) gatherEvents(tx, eventsOf(each));
  for (const each of sorted) if ("draft" in each) for (const send of each.draft.closing) send(tx);
}

function idOf(each: StepWrite | TextWrite): string {
  return "draft" in each ? each.before.id : each.run.id;
}

function eventsOf(each: StepWrite | TextWrite): StreamEvent[] {
  const stream = runStream(idOf(each));
  const events = "draft" in each ? each.draft.journal : [each.text];
  return events.map((event) => ({ stream, event, traceId: each.traceId }));
}

/** Locks runs against whoever would take their leases away, if these still are the ones that they are worked on under. */
function holdRuns(tx: Tx, runs: readonly TextWrite["run"][]): Promise<unknown> {
  const ids = uuids(runs, ({ id }) => id);
  return tx.sql`
    WITH held AS (
      SELECT id, fence FROM agent.run WHERE tenant_id = ${tx.tenantId} AND id = ANY(${ids}::uuid[]) ORDER BY id FOR SHARE)
    SELECT platform.require_none(
      ARRAY(SELECT id || ' ' || fence
            FROM (SELECT (${ids}::uuid[])[i] AS id, (${ints(runs, ({ fence }) => fence)}::int[])[i] AS fence
                  FROM generate_series(1, ${runs.length}::int) AS i) AS asked
            WHERE NOT EXISTS (SELECT FROM held WHERE held.id = asked.id AND held.fence = asked.fence)), ${LOST})`;
}

/** At the cost of a round trip: what is announced is announced with its seq. */
async function writeAnnounced(tx: Tx, before: RunRow, draft: Draft): Promise<void> {
  tx.gather(updateRuns, [rowOf({ before, draft })]);
  writeDraft(tx, draft);
  await appendEvents(tx, draft.caller, runStream(before.id), draft.journal);
  for (const send of draft.closing) send(tx);
}

function writeDraft(tx: Tx, draft: Draft): void {
  appendMessages(tx, draft.messages);
  for (const send of draft.writes) send(tx);
}

/** The columns of a run that its holder writes, and what it must be for that. */
function rowOf({ before: { id, fence, revision }, draft: { run, release } }: Pick<StepWrite, "before" | "draft">) {
  const { status, output, errorCode, errorMessage, endedAt, stepNumber, stepAttempt, textPieces, billedAttempts } = run;
  return {
    ...{ id, fence, revision, status, output, errorCode, errorMessage, endedAt, stepNumber, stepAttempt, textPieces },
    ...{
      billedAttempts,
      spentMicros: run.spentMicros,
      isReleased: release !== undefined,
      dueInSeconds: secondsOf(release?.dueInMs),
    },
  };
}

function secondsOf(ms: number | null | undefined): number | null {
  return typeof ms === "number" ? ms / 1000 : null;
}

/**
 * Writes runs as their drafts have them, if they still are as their sessions know them; otherwise fails the transaction and names
 * those that are not. The ids twice: by the array the rows are found in the primary key, whatever the planner thinks of the table.
 */
function updateRuns(tx: Tx, rows: readonly ReturnType<typeof rowOf>[]): Promise<unknown> {
  const ids = uuids(rows, ({ id }) => id);
  return tx.sql`
    WITH asked AS (
      SELECT (${ids}::uuid[])[i] AS id, (${ints(rows, ({ fence }) => fence)}::int[])[i] AS fence,
             (${ints(rows, ({ revision }) => revision)}::int[])[i] AS revision, (${texts(rows, ({ status }) => status)}::text[])[i] AS status,
             (${texts(rows, ({ output }) => output)}::text[])[i] AS output, (${texts(rows, ({ errorCode }) => errorCode)}::text[])[i] AS error_code,
             (${texts(rows, ({ errorMessage }) => errorMessage)}::text[])[i] AS error_message,
             (${times(rows, ({ endedAt }) => endedAt)}::timestamptz[])[i] AS ended_at, (${ints(rows, ({ stepNumber }) => stepNumber)}::int[])[i] AS step_number,
             (${ints(rows, ({ stepAttempt }) => stepAttempt)}::int[])[i] AS step_attempt, (${ints(rows, ({ textPieces }) => textPieces)}::int[])[i] AS text_pieces,
             (${bigints(rows, ({ spentMicros }) => spentMicros)}::bigint[])[i] AS spent_micros,
             (${ints(rows, ({ billedAttempts }) => billedAttempts)}::int[])[i] AS billed_attempts,
             (${booleans(rows, ({ isReleased }) => isReleased)}::boolean[])[i] AS is_released,
             (${floats(rows, ({ dueInSeconds }) => dueInSeconds)}::float8[])[i] AS due_in_seconds
      FROM generate_series(1, ${rows.length}::int) AS i
    ), written AS (
      UPDATE agent.run AS run
      SET status = asked.status, output = asked.output, error_code = asked.error_code, error_message = asked.error_message,
          ended_at = asked.ended_at, step_number = asked.step_number, step_attempt = asked.step_attempt, takeovers = 0,
          spent_micros = asked.spent_micros, text_pieces = asked.text_pieces, billed_attempts = asked.billed_attempts,
          due_at = CASE WHEN is_released THEN clock_timestamp() + make_interval(secs => due_in_seconds) ELSE run.due_at END,
          lease_expires_at = CASE WHEN is_released THEN NULL ELSE clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}) END,
          fence = run.fence + is_released::int
      FROM asked
      WHERE run.tenant_id = ${tx.tenantId} AND run.id = ANY(${ids}::uuid[])
        AND run.id = asked.id AND run.fence = asked.fence AND run.revision = asked.revision
      RETURNING run.id, asked.fence
    )
    SELECT platform.require_none(
      ARRAY(SELECT id || ' ' || fence FROM asked WHERE NOT EXISTS (SELECT FROM written w WHERE w.id = asked.id AND w.fence = asked.fence)),
      ${CHANGED})`;
}
