import { readRunLines, type RecordedLine } from "@sba/billing/index";
import { readToolCalls, type ToolCall } from "@sba/integrations/index";
import { callerOfStarter, type Caller, type TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import { readEvents, type EventRecord } from "@sba/platform/events";
import type {
  AgentVersion,
  Approval,
  ApprovalDecision,
  Message,
  Run as RunRow,
  RunInput,
  Step,
} from "@sba/platform/generated/prisma/client";
import { getAgentVersion } from "../agent/version.ts";
import { readDecisions } from "../approval/approval.ts";
import type { ApprovalPolicy } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { runStream } from "../events.ts";
import { readHistory, type MessageToolCall } from "../thread/message.ts";

/** Everything that was recorded of a run, for whoever does it again in memory. */
export interface Recording {
  readonly caller: Caller;
  readonly run: RunRow;
  readonly version: AgentVersion;
  readonly journal: readonly EventRecord[];
  /** What it was told when it was accepted: the thread before it, and its own first words. */
  readonly told: readonly Message[];
  /** Its own messages, by their places; those that it was told included. */
  readonly messages: ReadonlyMap<number, Message>;
  readonly steps: ReadonlyMap<number, Step>;
  readonly calls: ReadonlyMap<string, ToolCall>;
  /** What people sent it while it was under way, by their places. */
  readonly inputs: ReadonlyMap<number, RunInput>;
  /** As they ended, in the order in which they were asked for. */
  readonly approvals: readonly Approval[];
  readonly decisions: readonly ApprovalDecision[];
  /** The versions of policies that its approvals are pinned to. */
  readonly policies: readonly ApprovalPolicy[];
  /** The ledger's lines, by key. */
  readonly usage: ReadonlyMap<string, readonly RecordedLine[]>;
}

/**
 * Reads what was recorded of a run that has ended.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_REPLAY_RUN_NOT_ENDED, AGENT_REPLAY_JOURNAL_INCOMPLETE
 */
export async function readRecording(scope: TenantScope, runId: string): Promise<Recording> {
  const recorded = await withTenant(scope, (tx) => readRows(tx, runId));
  return { ...recorded, journal: await readJournal(scope, runId) };
}

/** The tenant of a run, for operators' commands. @throws AGENT_RUN_NOT_FOUND */
export async function findTenantOfRun(runId: string): Promise<TenantScope> {
  const [scope] = await systemTx(
    "an operator replays a run",
    (tx) => tx.sql<TenantScope>`SELECT tenant_id FROM agent.run WHERE id = ${runId}`,
  );
  if (!scope) throw errors.AGENT_RUN_NOT_FOUND();
  return scope;
}

async function readRows(tx: Tx, runId: string): Promise<Omit<Recording, "journal">> {
  const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${runId}`;
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  if (run.endedAt === null) throw errors.AGENT_REPLAY_RUN_NOT_ENDED({ details: { status: run.status } });
  const caller = callerOfStarter(run);
  const [version, told, messages, steps, inputs, approvals, policies, lines] = await Promise.all([
    getAgentVersion(tx, run.agentVersionId),
    readHistory(tx, run, FIRST_SEQ),
    tx.sql<Message>`SELECT * FROM agent.message WHERE run_id = ${runId} AND ordinal > 0`,
    tx.sql<Step>`SELECT * FROM agent.step WHERE run_id = ${runId}`,
    tx.sql<RunInput>`SELECT * FROM agent.run_input WHERE run_id = ${runId}`,
    tx.sql<Approval>`SELECT * FROM agent.approval WHERE run_id = ${runId} ORDER BY id`,
    readPinnedPolicies(tx, runId),
    readRunLines(tx, runId),
  ]);
  const [calls, decisions] = await Promise.all([
    readToolCalls(tx, caller, callIdsOf(messages)),
    readDecisions(
      tx,
      approvals.map(({ id }) => id),
    ),
  ]);
  return {
    ...{ caller, run, version, told, approvals, decisions, policies },
    messages: new Map(messages.map((message) => [message.ordinal, message])),
    steps: new Map(steps.map((step) => [step.number, step])),
    inputs: new Map(inputs.map((input) => [input.ordinal, input])),
    calls: new Map(calls.map((call) => [call.id, call])),
    usage: Map.groupBy(lines, ({ key }) => key),
  };
}

/** What is committed with a run's first event is what it was told. */
const FIRST_SEQ = 1;

function callIdsOf(messages: readonly Message[]): string[] {
  // A run may have been given up because its own rows cannot be read.
  return messages.flatMap(({ toolCalls }) =>
    Array.isArray(toolCalls) ? (toolCalls as unknown as MessageToolCall[]).map(({ id }) => id) : [],
  );
}

function readPinnedPolicies(tx: Tx, runId: string): Promise<ApprovalPolicy[]> {
  return tx.sql<ApprovalPolicy>`
    SELECT DISTINCT v.*, a.action AS tool, p.agent_key FROM agent.approval a
    JOIN agent.approval_policy_version v ON v.policy_id = a.policy_id AND v.version = a.policy_version
    JOIN agent.approval_policy p ON p.id = v.policy_id WHERE a.run_id = ${runId}`;
}

const PAGE = 1_000;

async function readJournal(scope: TenantScope, runId: string): Promise<EventRecord[]> {
  const journal: EventRecord[] = [];
  for (;;) {
    const page = await readEvents(scope, runStream(runId), { after: journal.length, first: PAGE });
    journal.push(...page);
    if (page.length < PAGE) break;
  }
  if (journal.some(({ seq }, index) => seq !== index + 1)) throw errors.AGENT_REPLAY_JOURNAL_INCOMPLETE();
  return journal;
}
