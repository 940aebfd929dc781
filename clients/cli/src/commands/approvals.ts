import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { ApprovalDocument, ApprovalsDocument, DecideApprovalDocument, type ApprovalDecision } from "@sba/client";
import { CommandError, EXIT } from "../failure.ts";
import { moneyText, note, sayJson, sayTable } from "../output.ts";
import { openClient } from "../session.ts";
import type { GlobalOptions } from "../settings.ts";

/** What waits for a person, and deciding it. */

interface DecideOptions extends GlobalOptions {
  readonly reason?: string;
  readonly edit?: string;
  readonly json?: boolean;
}

export function addApprovalCommands(program: Command): void {
  program
    .command("approvals")
    .description("list what waits for a decision")
    .option("--all", "also what you may not decide")
    .option("--json", "one JSON array")
    .action((_options: unknown, command: Command) => list(command.optsWithGlobals()));
  program
    .command("approve")
    .description("approve what waits, exactly as it is now")
    .argument("<approval>", "its id")
    .option("--edit <json>", "params that replace the editable ones")
    .option("--reason <text>", "why")
    .option("--json", "the decided approval")
    .action((id: string, _options: unknown, command: Command) => decide(id, "APPROVED", command.optsWithGlobals()));
  program
    .command("deny")
    .description("deny what waits")
    .argument("<approval>", "its id")
    .requiredOption("--reason <text>", "why; the agent reads it")
    .option("--json", "the decided approval")
    .action((id: string, _options: unknown, command: Command) => decide(id, "DENIED", command.optsWithGlobals()));
}

async function list(options: GlobalOptions & { readonly all?: boolean; readonly json?: boolean }): Promise<void> {
  const client = await openClient(options);
  const filter = { status: ["PENDING" as const], ...(options.all ? {} : { mayDecide: true }) };
  const { approvals } = await client.query(ApprovalsDocument, { filter, first: 100 });
  const waiting = approvals.edges.map(({ node }) => node);
  if (options.json) sayJson(waiting);
  else if (waiting.length === 0) note("Nothing waits.");
  else
    sayTable(
      ["ID", "ACTION", "COST", "EXPIRES", "PARAMS"],
      waiting.map(({ id, action, costEstimate, expiresAt, params }) => [
        ...[id, action, moneyText(costEstimate), expiresAt ?? "", JSON.stringify(params)],
      ]),
    );
  if (approvals.pageInfo.hasNextPage) note("There are more: these are the newest 100.");
}

async function decide(id: string, decision: ApprovalDecision, options: DecideOptions): Promise<void> {
  const editedParams = options.edit === undefined ? undefined : parseParams(options.edit);
  const client = await openClient(options);
  const { approval } = await client.query(ApprovalDocument, { id });
  // What is decided is what was just read: if it has changed meanwhile, the API refuses.
  const { decideApproval } = await client.mutate(DecideApprovalDocument, {
    decision,
    approvalId: id,
    fingerprint: approval.fingerprint,
    expectedVersion: approval.version,
    reason: options.reason ?? null,
    idempotencyKey: randomUUID(),
    ...(editedParams === undefined ? {} : { editedParams }),
  });
  if (options.json) sayJson(decideApproval);
  else note(`${approval.action} ${JSON.stringify(editedParams ?? approval.params)} is ${decideApproval.status}.`);
}

function parseParams(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError("--edit is not JSON.", EXIT.usage);
  }
}
