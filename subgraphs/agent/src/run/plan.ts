import { addUpMoney, type Money } from "@sba/billing/index";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";

/** What a model would do to answer a prompt, as it was planned before the run began. */
export interface RunPlan {
  readonly steps: readonly RunPlanStep[];
  /** RFC 3339: a run that still rests then ends. */
  readonly expiresAt: string;
}

export interface RunPlanStep {
  readonly title: string;
  /** The name of the tool that it calls; null for one that only thinks or writes. */
  readonly tool: string | null;
  /** About what it costs, by the run's price list; micros as a decimal string. */
  readonly estimatedCost: { readonly amountMicros: string; readonly currency: string };
  /** A person has to agree before the tool is called. */
  readonly requiresApproval: boolean;
}

/** The plan of a run; undefined for one that was not planned. */
export function planOf({ plan }: Pick<RunRow, "plan">): RunPlan | undefined {
  return (plan ?? undefined) as unknown as RunPlan | undefined;
}

/** About what its steps cost together. */
export function costOfPlan({ steps }: RunPlan): Money {
  return addUpMoney(steps.map(costOfStep));
}

export function costOfStep({ estimatedCost: { amountMicros, currency } }: RunPlanStep): Money {
  return { amountMicros: BigInt(amountMicros), currency };
}

/** The plan as a model is told it when it executes it. */
export function tellPlan({ steps }: RunPlan): string {
  const list = steps.map(({ title, tool }, index) => `${index + 1}. ${title}${tool === null ? "" : ` (${tool})`}`);
  return `This plan was made and agreed to before you began. Follow it as far as what you find allows:\n${list.join("\n")}`;
}
