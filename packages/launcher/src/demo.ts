import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  createClient,
  RunDocument,
  RunEventsDocument,
  StartRunDocument,
  type Client,
  type RunQuery,
} from "@sba/client";
import { z } from "zod";
import { demoTenantSchema } from "./messages.ts";

/**
 * The main job, once, in the terminal: a question to the sample collection, over the API that every client uses. Its
 * argument is the path of ready.json.
 */

const QUESTION =
  "What similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft?";
const TIMEOUT_MS = 120_000;
const MICROS = 1_000_000;

type Run = NonNullable<RunQuery["run"]>;

const readyFile = process.argv[2];
if (readyFile === undefined) throw new Error("usage: demo.ts <ready.json>");
const ready = z
  .object({
    graphqlUrl: z.string(),
    subscriptionsUrl: z.string(),
    tenants: z.tuple([demoTenantSchema]).rest(demoTenantSchema),
  })
  .parse(JSON.parse(readFileSync(readyFile, "utf8")));
const [tenant] = ready.tenants;

const client = createClient({
  url: ready.graphqlUrl,
  subscriptionsUrl: ready.subscriptionsUrl,
  token: tenant.tokens.operator,
});
const signal = AbortSignal.timeout(TIMEOUT_MS);
// The supervisor is gone: nobody reads this any more.
const onOrphaned = (): never => process.exit(1);
process.once("disconnect", onOrphaned);
try {
  print(`\nA question to the 1,400 abstracts of ${tenant.name}:\n\n  ${QUESTION}\n\n`);
  const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
  await showEvents(client, startRun.id);
  const { run } = await client.query(RunDocument, { id: startRun.id });
  if (run?.status !== "COMPLETED") throw new Error(`the run ended as ${run?.status ?? "nothing"}`);
  showCitations(run);
  await saveArtifacts(run);
  showCost(run);
} catch (error) {
  print(`\nThe demonstration failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await client.close();
  // The channel to the supervisor is no reason to stay.
  process.off("disconnect", onOrphaned);
  if (process.connected) process.disconnect();
}

/** Prints tokens as they come, and between them what the agent does. */
async function showEvents(api: Client, runId: string): Promise<void> {
  let isInText = false;
  const note = (text: string): void => {
    print(`${isInText ? "\n\n" : ""}  [${text}]\n`);
    isInText = false;
  };
  for await (const { runEvents: event } of api.subscribe(RunEventsDocument, { runId }, { signal })) {
    if (event.__typename === "TokenDelta") {
      print(isInText ? event.text : `\n${event.text}`);
      isInText = true;
    } else if (event.__typename === "ToolRequested") note(`uses ${event.toolCall.name}`);
    else if (event.__typename === "StepRestarted") note("begins this step again");
    else if (event.__typename === "RunFailed") throw new Error(event.error?.message ?? "the run failed");
  }
  print("\n");
  if (signal.aborted) throw new Error(`no end after ${TIMEOUT_MS / 1_000} s`);
}

function showCitations({ citations }: Run): void {
  if (citations.length === 0) return;
  print("\nIt cites\n");
  for (const { document, quote } of citations)
    print(`  - ${document?.title ?? "a document"}\n    "${shorten(quote)}"\n`);
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > 160 ? `${line.slice(0, 157)}...` : line;
}

/** Puts what the run made where a person finds it. */
async function saveArtifacts({ artifacts }: Run): Promise<void> {
  const folder = join(dirname(readyFile ?? "."), "demo");
  for (const { name, mediaType, downloadUrl } of artifacts) {
    const response = await fetch(downloadUrl, { signal });
    if (!response.ok) throw new Error(`the artifact ${name} answered ${response.status}`);
    mkdirSync(folder, { recursive: true });
    const path = join(folder, basename(name));
    writeFileSync(path, Buffer.from(await response.arrayBuffer()));
    print(`\nIt wrote ${path} (${mediaType})\n`);
  }
}

function showCost({ cost, usage }: Run): void {
  const quantities = (usage ?? []).map(({ meter, quantity }) => `${quantity} ${meter}`).join(", ");
  if (cost)
    print(
      `\nIt cost ${(Number(cost.amountMicros) / MICROS).toFixed(6)} ${cost.currency}${quantities ? `: ${quantities}` : ""}\n`,
    );
}

function print(text: string): void {
  process.stdout.write(text);
}
