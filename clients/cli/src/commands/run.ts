import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Command } from "commander";
import {
  CancelRunDocument,
  ContinueRunDocument,
  RunDocument,
  RunLiveDocument,
  RunsDocument,
  StartRunDocument,
  type Client,
  type RunLiveSubscription,
  type RunQuery,
  type RunStatus,
} from "@sba/client";
import { CommandError, EXIT } from "../failure.ts";
import { moneyText, note, oneLine, printable, say, sayJson, sayTable } from "../output.ts";
import { openClient } from "../session.ts";
import type { GlobalOptions } from "../settings.ts";

/** Asking, and watching the answer come. */

interface WatchOptions extends GlobalOptions {
  readonly json?: boolean;
  readonly save?: string;
}

interface RunOptions extends WatchOptions {
  readonly agent: string;
  readonly thread?: string;
  readonly budget?: string;
  readonly detach?: boolean;
  readonly idempotencyKey?: string;
}

type RunEvent = RunLiveSubscription["runEvents"];

const WATCHING = `
The answer goes to standard output, everything about it to standard error.
Ctrl-C cancels the run and waits for its end; a second Ctrl-C leaves it to itself.`;

export function addRunCommands(program: Command): void {
  program
    .command("run")
    .description("ask an agent, and watch the answer come")
    .argument("<question>", "what to ask")
    .option("--agent <key>", "the agent's key", "handbook")
    .option("--thread <id>", "go on with a conversation")
    .option("--budget <micros>", "what the run may cost at most, in millionths")
    .option("--idempotency-key <key>", "the same key starts the same run once")
    .option("--detach", "print the run's id and leave it to itself")
    .option("--save <folder>", "save the artifacts there")
    .option("--json", "one event a line, then the run")
    .addHelpText("after", WATCHING)
    .action((question: string, _options: unknown, command: Command) => ask(question, command.optsWithGlobals()));
  program
    .command("watch")
    .description("watch a run from its beginning")
    .argument("<run>", "its id")
    .option("--save <folder>", "save the artifacts there")
    .option("--json", "one event a line, then the run")
    .addHelpText("after", WATCHING)
    .action(async (runId: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<WatchOptions>();
      return watch(await openClient(options), runId, options);
    });
  program
    .command("continue")
    .description("answer a run that waits for you")
    .argument("<run>", "its id")
    .argument("<text>", "what to say")
    .action(async (runId: string, input: string, _options: unknown, command: Command) => {
      const client = await openClient(command.optsWithGlobals());
      const { continueRun } = await client.mutate(ContinueRunDocument, { runId, input, idempotencyKey: randomUUID() });
      note(`${continueRun.id} goes on: sba watch ${continueRun.id}`);
    });
  program
    .command("cancel")
    .description("cancel a run")
    .argument("<run>", "its id")
    .option("--reason <text>", "why")
    .action(async (runId: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly reason?: string }>();
      const client = await openClient(options);
      const { cancelRun } = await client.mutate(CancelRunDocument, { runId, reason: options.reason ?? null });
      note(`${cancelRun.id} is ${cancelRun.status}.`);
    });
  program
    .command("runs")
    .description("list runs, newest first")
    .option("--agent <key>", "only of this agent")
    .option("--status <statuses>", "only in these, comma-separated: EXECUTING,COMPLETED")
    .option("--limit <count>", "how many at most, up to 100", "20")
    .option("--json", "one JSON array")
    .action((_options: unknown, command: Command) => listRuns(command.optsWithGlobals()));
}

async function ask(prompt: string, options: RunOptions): Promise<void> {
  const client = await openClient(options);
  const { startRun } = await client.mutate(StartRunDocument, {
    prompt,
    agentKey: options.agent,
    threadId: options.thread ?? null,
    idempotencyKey: options.idempotencyKey ?? randomUUID(),
    ...(options.budget === undefined ? {} : { options: { budgetMicros: options.budget } }),
  });
  if (options.detach) {
    if (options.json) sayJson(startRun);
    else say(`${startRun.id}\n`);
    return;
  }
  if (!options.json) note(`${startRun.id}`);
  await watch(client, startRun.id, options);
}

async function watch(client: Client, runId: string, options: WatchOptions): Promise<void> {
  const interrupts = onInterrupt(client, runId);
  const screen = openScreen(runId);
  try {
    for await (const { runEvents } of client.subscribe(RunLiveDocument, { runId }, { signal: interrupts.leaving })) {
      if (options.json) sayJson(runEvents);
      else screen.show(runEvents);
      if (runEvents.__typename === "RunStatusChanged" && runEvents.to === "AWAITING_INPUT") {
        screen.end();
        throw new CommandError(`The agent asks: sba continue ${runId} "..."`, EXIT.waiting);
      }
    }
    if (interrupts.leaving.aborted)
      throw new CommandError(`The run goes on without you: sba watch ${runId}`, EXIT.interrupted);
  } finally {
    interrupts.stop();
  }
  const { run } = await client.query(RunDocument, { id: runId });
  screen.end();
  if (options.json) sayJson({ __typename: "Run", ...run });
  else summarize(run);
  if (options.save !== undefined) await saveArtifacts(run, options.save);
  if (run.status === "FAILED") throw new CommandError(`The run failed.`);
  if (run.status === "CANCELLED") throw new CommandError("The run was cancelled.", EXIT.interrupted);
}

/** The first asks the API to cancel, and the stream tells how that went; the second leaves. */
function onInterrupt(client: Client, runId: string) {
  const leaving = new AbortController();
  let isCancelling = false;
  const interrupt = (): void => {
    if (isCancelling) {
      leaving.abort();
      return;
    }
    isCancelling = true;
    note("\nCancelling. Ctrl-C again leaves the run to itself.");
    void client.mutate(CancelRunDocument, { runId, reason: "Cancelled at the terminal." }).catch((error: unknown) => {
      note(`It could not be cancelled: ${error instanceof Error ? error.message : String(error)}`);
    });
  };
  process.on("SIGINT", interrupt);
  return { leaving: leaving.signal, stop: () => process.off("SIGINT", interrupt) };
}

/** Events as a person reads them. What a step had streamed before it was started over cannot be taken back here: it is said. */
function openScreen(runId: string) {
  let isMidLine = false;
  const aside = (line: string): void => {
    if (isMidLine) say("\n");
    isMidLine = false;
    note(line);
  };
  const show = (event: RunEvent): void => {
    switch (event.__typename) {
      case "TokenDelta":
        say(printable(event.text));
        isMidLine = !event.text.endsWith("\n");
        break;
      case "StepRestarted":
        aside("… started over:");
        break;
      case "ToolRequested":
        aside(`▸ ${event.toolCall.name} ${oneLine(JSON.stringify(event.toolCall.params), 100)}`);
        break;
      case "ToolResulted":
        if (event.toolCall.success === false) aside(`✗ ${event.toolCall.name} failed`);
        break;
      case "ToolOutcomeUnknown":
        aside(`? nobody knows what became of ${event.toolCall.name}: an operator has to say`);
        break;
      case "ApprovalRequested":
        aside(`⏸ waits for approval of ${event.approval.action}: sba approve ${event.approval.id}`);
        break;
      case "ApprovalDecided":
        aside(`⏵ ${event.approval.action} ${event.approval.status.toLowerCase()}`);
        break;
      case "RunFailed":
        aside(`✗ ${event.error?.message ?? "failed"} (${event.error?.code ?? "unknown"})`);
        break;
      case "StreamGap":
        aside(`… events ${event.fromSeq} to ${event.toSeq} of ${runId} are no longer kept`);
        break;
      default:
        break;
    }
  };
  return {
    show,
    end: () => {
      if (isMidLine) say("\n");
      isMidLine = false;
    },
  };
}

function summarize({ status, citations, artifacts, cost, usage }: RunQuery["run"]): void {
  for (const [index, { document, quote }] of citations.entries())
    note(`[${index + 1}] ${printable(document?.title ?? "a document")}: "${oneLine(quote, 120)}"`);
  for (const { name, sizeBytes, downloadUrl } of artifacts)
    note(`↓ ${printable(name)} (${sizeBytes} bytes) ${downloadUrl}`);
  const used = (usage ?? []).map(({ meter, quantity }) => `${quantity} ${meter}`).join(", ");
  note([status, moneyText(cost), used].filter(Boolean).join(" · "));
}

async function saveArtifacts({ artifacts }: RunQuery["run"], folder: string): Promise<void> {
  for (const { name, downloadUrl } of artifacts) {
    const response = await fetch(downloadUrl);
    if (!response.ok) throw new CommandError(`${name} could not be downloaded: ${response.status}.`);
    // A name is a name, whatever it says: nothing is written outside the folder.
    const file = join(folder, basename(name.replaceAll("\\", "/")));
    await writeFile(file, Buffer.from(await response.arrayBuffer()), { flag: "wx" });
    note(`Saved ${file}`);
  }
}

interface ListOptions extends GlobalOptions {
  readonly agent?: string;
  readonly status?: string;
  readonly limit: string;
  readonly json?: boolean;
}

async function listRuns(options: ListOptions): Promise<void> {
  const first = Number(options.limit);
  if (!Number.isInteger(first) || first < 1 || first > 100)
    throw new CommandError("--limit is a whole number from 1 to 100.", EXIT.usage);
  const client = await openClient(options);
  // What is no status the API says.
  const status = options.status?.split(",").map((each) => each.trim().toUpperCase() as RunStatus) ?? null;
  const { runs } = await client.query(RunsDocument, { first, filter: { status, agentKey: options.agent ?? null } });
  const found = runs.edges.map(({ node }) => node);
  if (options.json) sayJson(found);
  else
    sayTable(
      ["ID", "STATUS", "AGENT", "CREATED", "PROMPT"],
      found.map(({ id, status: state, agent, createdAt, prompt }) => [id, state, agent?.key ?? "", createdAt, prompt]),
    );
}
