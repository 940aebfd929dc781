import type { RunFilter, RunStatus } from "@sba/client";
import { useMemo } from "react";
import { useSearchParams } from "wouter";
import { useMe } from "../../session/permission.tsx";

/** The list's filters are in its address: a link to it shows the same to a colleague. */

export const SPANS = { hour: 3_600_000, day: 86_400_000, week: 604_800_000, month: 2_592_000_000 } as const;
export type Span = keyof typeof SPANS;

export const STATUSES = [
  ...["CREATED", "PLANNING", "EXECUTING", "WAITING_TOOL", "AWAITING_APPROVAL", "AWAITING_INPUT", "PAUSED"],
  ...["CANCELLING", "COMPLETED", "FAILED", "CANCELLED"],
] as readonly RunStatus[];

/** Several statuses by one name. */
export const STATUS_GROUPS = {
  running: ["CREATED", "PLANNING", "EXECUTING", "WAITING_TOOL", "CANCELLING"],
  waiting: ["AWAITING_APPROVAL", "AWAITING_INPUT", "PAUSED"],
  ended: ["COMPLETED", "FAILED", "CANCELLED"],
} as const satisfies Readonly<Record<string, readonly RunStatus[]>>;

export type FilterName = "status" | "agent" | "since" | "mine" | "thread";

export interface RunListFilter {
  readonly chosen: Readonly<Partial<Record<FilterName, string>>>;
  readonly isFiltered: boolean;
  readonly filter: RunFilter;
  readonly set: (name: FilterName, value: string | null) => void;
  readonly clear: () => void;
}

const NAMES: readonly FilterName[] = ["status", "agent", "since", "mine", "thread"];

export function useRunFilter(): RunListFilter {
  const { id } = useMe();
  const [params, setParams] = useSearchParams();
  const key = NAMES.map((name) => params.get(name) ?? "").join("|");
  return useMemo(() => {
    const chosen = Object.fromEntries(
      NAMES.flatMap((name) => (params.get(name) ? [[name, params.get(name) ?? ""] as const] : [])),
    ) as RunListFilter["chosen"];
    return {
      chosen,
      isFiltered: Object.keys(chosen).length > 0,
      filter: toFilter(chosen, id),
      set: (name, value) => {
        setParams(
          (before) => {
            const next = new URLSearchParams(before);
            if (value === null || value === "") next.delete(name);
            else next.set(name, value);
            return next;
          },
          { replace: true },
        );
      },
      clear: () => {
        setParams({}, { replace: true });
      },
    };
    // The moment from which "the last day" counts stays as it was chosen: otherwise each rendering would be another list.
  }, [key, id]);
}

function toFilter({ status, agent, since, mine, thread }: RunListFilter["chosen"], principalId: string): RunFilter {
  const statuses = statusesOf(status);
  const span = since !== undefined && since in SPANS ? SPANS[since as Span] : undefined;
  return {
    ...(statuses === undefined ? {} : { status: statuses }),
    ...(agent === undefined ? {} : { agentKey: agent }),
    ...(span === undefined ? {} : { createdAfter: new Date(Date.now() - span).toISOString() }),
    ...(mine === undefined ? {} : { startedById: principalId }),
    ...(thread === undefined ? {} : { threadId: thread }),
  };
}

function statusesOf(status: string | undefined): readonly RunStatus[] | undefined {
  if (status === undefined) return undefined;
  if (status in STATUS_GROUPS) return STATUS_GROUPS[status as keyof typeof STATUS_GROUPS];
  return STATUSES.filter((each) => each === status);
}
