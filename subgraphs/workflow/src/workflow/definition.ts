import { hashInput } from "@sba/platform/idempotency";
import { z } from "zod";
import { errors } from "../errors.ts";
import { findKind, kinds } from "../step-kind/kinds/index.ts";
import { findJsonProblem } from "./json-input.ts";
import { readReferences, type Reference } from "./template.ts";

/** What a version of a workflow holds: its steps, checked before they are published. */

export interface StepDefinition {
  /** What later steps refer to it by. */
  readonly key: string;
  readonly kind: string;
  /** What the kind asks for. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface DefinitionProblem {
  /** `steps.1.prompt` */
  readonly path: string;
  readonly message: string;
}

export const MAX_STEPS = 50;
const LIMITS = { maxBytes: 256 * 1024, maxDepth: 32 };

const stepSchema = z.looseObject({
  key: z
    .string()
    .regex(/^[a-z][a-zA-Z0-9_-]{0,62}$/, "must be 1 to 63 letters, digits, - or _, beginning with a small letter"),
  kind: z.string(),
});
const stepsSchema = z.array(stepSchema).min(1).max(MAX_STEPS);

type GivenStep = z.output<typeof stepSchema>;

/**
 * The steps of a definition, as they are stored.
 * @throws WORKFLOW_DEFINITION_INVALID naming every problem by its path.
 */
export function parseSteps(given: unknown): StepDefinition[] {
  const unstorable = findJsonProblem(given, LIMITS);
  if (unstorable !== undefined) throw invalid([{ path: "steps", message: unstorable }]);
  const shape = stepsSchema.safeParse(given);
  if (!shape.success) throw invalid(problemsOf("steps", shape.error));
  const checked = shape.data.map((step, index) =>
    checkStep(step, { path: `steps.${index}`, earlier: shape.data.slice(0, index) }),
  );
  const problems = checked.flatMap((step) => step.problems);
  if (problems.length > 0) throw invalid(problems);
  return checked.map(({ definition }) => definition);
}

interface Place {
  readonly path: string;
  readonly earlier: readonly GivenStep[];
}

interface CheckedStep {
  readonly definition: StepDefinition;
  readonly problems: readonly DefinitionProblem[];
}

function checkStep(given: GivenStep, { path, earlier }: Place): CheckedStep {
  const { key, kind: kindName, ...rest } = given;
  const duplicate = earlier.some((step) => step.key === key)
    ? [{ path: `${path}.key`, message: `an earlier step has the key ${key}` }]
    : [];
  const kind = findKind(kindName);
  if (!kind) {
    const known = kinds.map(({ name }) => name).join(", ");
    return {
      definition: { key, kind: kindName, config: rest },
      problems: [...duplicate, { path: `${path}.kind`, message: `must be one of ${known}` }],
    };
  }
  const parsed = kind.config.safeParse(rest);
  const config = (parsed.success ? parsed.data : rest) as StepDefinition["config"];
  const own = parsed.success
    ? kind.problems(config).map((message) => ({ path, message }))
    : problemsOf(path, parsed.error);
  return {
    definition: { key, kind: kindName, config },
    problems: [...duplicate, ...own, ...referenceProblems(config, { path, earlier })],
  };
}

function referenceProblems(config: unknown, { path, earlier }: Place): DefinitionProblem[] {
  const { references, malformed } = readReferences(config);
  const keys = new Set(earlier.map(({ key }) => key));
  const unknown = references.filter((reference) => reference.path[0] === "steps" && !keys.has(reference.path[1] ?? ""));
  return [
    ...malformed.map((text) => ({
      path,
      message: `${text} is not of the form {{input.name}} or {{steps.key.output}}`,
    })),
    ...unknown.map(({ text }) => ({ path, message: `{{${text}}} names no earlier step` })),
  ];
}

function problemsOf(path: string, error: z.ZodError): DefinitionProblem[] {
  return error.issues.map((issue) => ({ path: [path, ...issue.path].join("."), message: issue.message }));
}

function invalid(problems: readonly DefinitionProblem[]) {
  const shown = problems.slice(0, 20);
  return errors.WORKFLOW_DEFINITION_INVALID({
    message: shown.map(({ path, message }) => `${path}: ${message}`).join("; "),
    details: { problems: shown },
  });
}

/** Changes with everything that a run of the steps does; approvals of steps are bound to it. */
export function hashSteps(steps: readonly StepDefinition[]): string {
  return hashInput(steps);
}

/** What the steps ask of a run's input. */
export function inputReferences(steps: readonly StepDefinition[]): Reference[] {
  return steps.flatMap(({ config }) => readReferences(config).references).filter(({ path }) => path[0] === "input");
}
