import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { WorkflowStep } from "@sba/platform/generated/prisma/client";
import type { z } from "zod";

/** A step as its kind sees it: a row of the workflow run, and what its run is pinned to. */
export interface StepRun extends WorkflowStep {
  /** Of the version that the run was pinned to: what an approval of the step is bound to. */
  readonly definitionHash: string;
}

/** What a step started or waits for in lower domains; UUIDs. */
export interface StepLinks {
  readonly runId?: string;
  readonly approvalId?: string;
  readonly toolCallId?: string;
}

export interface StepError {
  readonly code: string;
  readonly message: string;
}

/** Where a step stands. */
export type StepState =
  /** There is something to do that no transaction may wait for: `perform` is called next. */
  | { readonly kind: "perform"; readonly links?: StepLinks }
  /** Nothing to do: a reaction wakes the run, and without one `look` is called after `lookAgainMs`. */
  | { readonly kind: "wait"; readonly lookAgainMs: number; readonly links?: StepLinks }
  | { readonly kind: "done"; readonly output: unknown }
  | { readonly kind: "failed"; readonly error: StepError };

/**
 * How one kind of step is written. `begin` joins the transaction that makes the step; the others run outside any
 * transaction and may be repeated after a crash, so what they do must be harmless twice.
 */
export interface StepKindDefinition<Config extends z.ZodType> {
  /** kebab-case: what definitions say. */
  readonly name: string;
  /** One sentence for authors of workflows. */
  readonly description: string;
  /** What stands beside `key` and `kind` in a definition; its strings may hold references. */
  readonly config: Config;
  /** A config that can be published: shown to authors, tried by the contract suite. */
  readonly example: z.input<Config>;
  /** Why a config that parses can never work; none when it can. */
  problems?(config: z.output<Config>): readonly string[];
  begin(tx: Tx, caller: Caller, step: StepRun, config: z.output<Config>): Promise<StepState>;
  /** What has become of what the step waits for. */
  look(caller: Caller, step: StepRun, config: z.output<Config>): Promise<StepState>;
  /** Only kinds that say "perform" have it. Aborted when the run is cancelled or the worker drains. */
  perform?(caller: Caller, step: StepRun, config: z.output<Config>, signal: AbortSignal): Promise<StepState>;
  /** Ends what the step started. True when nothing of it goes on any more; false asks to be called again. */
  cancel(caller: Caller, step: StepRun): Promise<boolean>;
}

/** A step kind as the loop uses it: whatever its config's type is, it takes checked JSON. */
export interface StepKind {
  readonly name: string;
  readonly description: string;
  readonly config: z.ZodType;
  readonly example: unknown;
  problems(config: unknown): readonly string[];
  begin(tx: Tx, caller: Caller, step: StepRun): Promise<StepState>;
  look(caller: Caller, step: StepRun): Promise<StepState>;
  perform(caller: Caller, step: StepRun, signal: AbortSignal): Promise<StepState>;
  cancel(caller: Caller, step: StepRun): Promise<boolean>;
}

/** Declares a kind of step. `step.params` holds its config with the references filled in. */
export function defineStepKind<Config extends z.ZodType>(definition: StepKindDefinition<Config>): StepKind {
  const { name, description, config, example } = definition;
  const configOf = (step: StepRun): z.output<Config> => config.parse(step.params);
  return {
    name,
    description,
    config,
    example,
    problems: (given) => definition.problems?.(config.parse(given)) ?? [],
    begin: (tx, caller, step) => definition.begin(tx, caller, step, configOf(step)),
    look: (caller, step) => definition.look(caller, step, configOf(step)),
    perform: (caller, step, signal) => {
      if (!definition.perform) throw new Error(`steps of kind ${name} have nothing to perform`);
      return definition.perform(caller, step, configOf(step), signal);
    },
    cancel: (caller, step) => definition.cancel(caller, step),
  };
}

/** What an approval of a step is about: `workflowRun:<uuid>:<step key>`. */
export function stepSubject(step: Pick<StepRun, "workflowRunId" | "key">): string {
  return `workflowRun:${step.workflowRunId}:${step.key}`;
}

const SUBJECT = /^workflowRun:([0-9a-f-]{36}):/;

/** The workflow run that a subject is of, or undefined when it is of something else. */
export function workflowRunOfSubject(subject: string | null): string | undefined {
  return subject === null ? undefined : SUBJECT.exec(subject)?.[1];
}
