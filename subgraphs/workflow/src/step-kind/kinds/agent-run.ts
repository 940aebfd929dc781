import { AppError } from "@sba/platform/errors";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { cancelPart, findRuns, isEnded, startRunIn, type Run } from "@sba/agent/index";
import { z } from "zod";
import { errors } from "../../errors.ts";
import { defineStepKind, type StepRun, type StepState } from "../step-kind.ts";

/** The reaction to the run's end comes within milliseconds; this is for when it was lost. */
const LOOK_AGAIN_MS = 10_000;

const config = z.strictObject({
  agentKey: z.string().min(1).max(100),
  prompt: z.string().min(1).max(100_000),
  options: z
    .strictObject({
      locale: z.string().max(35).optional(),
      topK: z.int().min(1).max(20).optional(),
      maxSteps: z.int().min(1).max(200).optional(),
    })
    .default({}),
});

export const agentRun = defineStepKind({
  name: "agent-run",
  description: "Starts a run of an agent and goes on with its answer.",
  config,
  example: { agentKey: "handbook", prompt: "{{input.prompt}}" },
  begin: async (tx, caller, _step, { agentKey, prompt, options }) => {
    requirePermission(caller, "run:start");
    const runId = await startRunIn(tx, caller, { agentKey, prompt, options: withoutAbsent(options) });
    return { kind: "wait", lookAgainMs: LOOK_AGAIN_MS, links: { runId } };
  },
  look: async (caller, step) => stateOf(await findRunOf(caller, step)),
  cancel: async (caller, step) => {
    const run = await findRunOf(caller, step);
    if (isEnded(run.status)) return true;
    await cancelPart(caller, { runId: run.id, reason: "The workflow run was cancelled." }).catch(ignoreEnded);
    return isEnded((await findRunOf(caller, step)).status);
  },
});

type Options = z.output<typeof config>["options"];

function withoutAbsent({ locale, topK, maxSteps }: Options): { locale?: string; topK?: number; maxSteps?: number } {
  return {
    ...(locale === undefined ? {} : { locale }),
    ...(topK === undefined ? {} : { topK }),
    ...(maxSteps === undefined ? {} : { maxSteps }),
  };
}

async function findRunOf(caller: Caller, step: StepRun): Promise<Run> {
  const [run] = await findRuns(caller, step.runId === null ? [] : [step.runId]);
  if (!run) throw new Error("the run of a step is not there");
  return run;
}

function stateOf(run: Run): StepState {
  if (!isEnded(run.status)) return { kind: "wait", lookAgainMs: LOOK_AGAIN_MS };
  if (run.status === "COMPLETED") {
    return { kind: "done", output: { runId: encodeId("Run", run.id), text: run.output ?? "" } };
  }
  const { code, message } =
    run.status === "CANCELLED" ? errors.WORKFLOW_STEP_RUN_CANCELLED() : errors.WORKFLOW_STEP_RUN_FAILED();
  return { kind: "failed", error: { code: run.errorCode ?? code, message: run.errorMessage ?? message } };
}

function ignoreEnded(error: unknown): void {
  if (!(error instanceof AppError && error.code === "AGENT_RUN_ENDED")) throw error;
}
