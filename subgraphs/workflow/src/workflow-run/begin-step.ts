import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { ensureAppError, type AppError } from "@sba/platform/errors";
import type { WorkflowRun as WorkflowRunRow, WorkflowStep } from "@sba/platform/generated/prisma/client";
import { logger } from "@sba/platform/log";
import { errors } from "../errors.ts";
import { findKind } from "../step-kind/kinds/index.ts";
import type { StepKind, StepRun, StepState } from "../step-kind/step-kind.ts";
import type { StepDefinition } from "../workflow/definition.ts";
import { findJsonProblem, tooLarge } from "../workflow/json-input.ts";
import { renderTemplate, type TemplateScope } from "../workflow/template.ts";
import { insertStep } from "./step.ts";

export interface StepToBegin {
  readonly number: number;
  readonly definition: StepDefinition;
  readonly definitionHash: string;
  /** The steps before it. */
  readonly done: readonly WorkflowStep[];
}

/** Makes the step's row and lets its kind begin it. A step that cannot be begun is there too, and failed. */
export async function beginStep(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  { number, definition, definitionHash, done }: StepToBegin,
): Promise<{ readonly step: StepRun; readonly state: StepState }> {
  const kind = findKind(definition.kind);
  const prepared = kind
    ? prepareOrFail(kind, definition, scopeOf(run, done))
    : { error: errors.WORKFLOW_STEP_KIND_UNKNOWN() };
  const params = "params" in prepared ? prepared.params : undefined;
  const step = {
    ...(await insertStep(tx, caller, { workflowRunId: run.id, number, definition, params })),
    definitionHash,
  };
  if (!kind || "error" in prepared)
    return { step, state: failedBy("error" in prepared ? prepared.error : errors.WORKFLOW_STEP_KIND_UNKNOWN()) };
  return { step, state: await beginOrFail(tx, () => kind.begin(tx, caller, step)) };
}

function scopeOf(run: WorkflowRunRow, done: readonly WorkflowStep[]): TemplateScope {
  return { input: run.input, steps: Object.fromEntries(done.map(({ key, output }) => [key, { output }])) };
}

/** A small definition may refer to the same large input many times. */
const PARAMS_LIMITS = { maxBytes: 1024 * 1024, maxDepth: 64 };

type Prepared = { readonly params: unknown } | { readonly error: AppError };

/** It asks nothing of outside: what it throws it would throw again, so that its run would be tried for ever. */
function prepareOrFail(kind: StepKind, definition: StepDefinition, scope: TemplateScope): Prepared {
  try {
    return prepare(kind, definition, scope);
  } catch (thrown) {
    logger.error({ err: thrown, "step.kind": kind.name }, "workflow step could not be prepared");
    return { error: ensureAppError(thrown) };
  }
}

function prepare(kind: StepKind, { config }: StepDefinition, scope: TemplateScope): Prepared {
  const rendered = renderTemplate(config, scope, PARAMS_LIMITS.maxBytes);
  if ("unknown" in rendered) {
    const references = rendered.unknown;
    return {
      error: errors.WORKFLOW_REFERENCE_UNKNOWN({
        message: `The step refers to ${references.join(", ")}, which is not there.`,
      }),
    };
  }
  if ("tooLarge" in rendered)
    return { error: errors.WORKFLOW_STEP_PARAMS_INVALID({ message: tooLarge(PARAMS_LIMITS.maxBytes) }) };
  const parsed = kind.config.safeParse(rendered.value);
  const problem = parsed.success
    ? findJsonProblem(parsed.data, PARAMS_LIMITS)
    : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  return problem === undefined
    ? { params: parsed.data }
    : { error: errors.WORKFLOW_STEP_PARAMS_INVALID({ message: problem }) };
}

/** What a kind wrote before it failed is undone, and the failure is committed. What a repeat may cure is thrown. */
export async function beginOrFail(tx: Tx, begin: () => Promise<StepState>): Promise<StepState> {
  try {
    return await tx.nested(begin);
  } catch (thrown) {
    const error = ensureAppError(thrown);
    if (error.retryable) throw thrown;
    return failedBy(error);
  }
}

export function failedBy({ code, message }: AppError): StepState {
  return { kind: "failed", error: { code, message } };
}
