import { configureAgent, startRun } from "@sba/agent/index";
import { addProvider } from "@sba/agent/model/registry";
import { stepStarted } from "@sba/agent/events";
import { streamRunEvents } from "@sba/agent/run/run-events";
import { deserializeCaller, type Caller, type SerializedCaller } from "@sba/platform/caller";
import { loadConfig } from "@sba/platform/config";
import { openServices } from "@sba/platform/services";
import { repeatFor, type Spell } from "../load.ts";
import { measureMemory, serveParent } from "./child.ts";
import { startCpuProfile, stopCpuProfile } from "./cpu-profile.ts";
import { scriptedProvider } from "./model.ts";
import { decideRuns, suspendRuns } from "./suspend.ts";

/**
 * What the server does for a run, without HTTP around it: accepts it and follows its events to the end, each as it is committed.
 * A process of its own, so that what it computes can be told from the worker's.
 */

export interface StartRuns {
  readonly caller: SerializedCaller;
  readonly agentKey: string;
  readonly prompt: string;
  readonly durationMs: number;
  readonly concurrency: number;
}

/** Milliseconds since `startRun` was called. */
export interface RunTimes {
  readonly acceptedMs: number;
  /** Who follows the run has its first event: that it was accepted. */
  readonly firstEventMs: number;
  /** The first step is begun and this process has heard of it. */
  readonly firstStepMs: number;
  readonly endMs: number;
}

const config = loadConfig();
await openServices({ name: "bench-starter", config });
addProvider(scriptedProvider);
await configureAgent(config);

function startRuns({ caller, durationMs, concurrency, ...input }: StartRuns): Promise<Spell<RunTimes>> {
  const by = deserializeCaller(caller);
  return repeatFor(durationMs, concurrency, () => runOnce(by, input));
}

async function runOnce(
  caller: Caller,
  input: { readonly agentKey: string; readonly prompt: string },
): Promise<RunTimes> {
  const began = performance.now();
  const since = (): number => performance.now() - began;
  const runId = await startRun(caller, input);
  const acceptedMs = since();
  let [firstEventMs, firstStepMs] = [Number.NaN, Number.NaN];
  let last = "";
  for await (const { type, payload } of streamRunEvents(caller, { runId, after: null, signal: NEVER })) {
    if (Number.isNaN(firstEventMs)) firstEventMs = since();
    if (type === stepStarted.type && Number.isNaN(firstStepMs)) firstStepMs = since();
    last = `${type} ${(payload as { status?: string }).status ?? ""}`;
  }
  if (last !== "agent.run.finished COMPLETED") throw new Error(`run ${runId} ended with ${last}`);
  return { acceptedMs, firstEventMs, firstStepMs, endMs: since() };
}

const NEVER = new AbortController().signal;

serveParent({ startRuns, suspendRuns, decideRuns, memory: measureMemory, startCpuProfile, stopCpuProfile });
