import type { ApprovalStatus, LiveApproval } from "@sba/client";
import { useDecideApprovalMutation } from "@sba/client/react";
import { useState } from "react";
import { decisionOf, type Decision } from "../../approval/use-decide.ts";

/** What became of one of them. */
type BulkOutcome =
  | { readonly approval: LiveApproval; readonly status: ApprovalStatus }
  | { readonly approval: LiveApproval; readonly error: unknown };

export interface BulkDecide {
  readonly decideAll: (approvals: readonly LiveApproval[], decision: Decision) => Promise<void>;
  /** How many are being decided. */
  readonly deciding: number;
  /** Of the last time, in the order in which they were shown. */
  readonly outcomes: readonly BulkOutcome[];
  readonly forget: () => void;
}

/** Decides each as it was seen, by itself: one that cannot be decided holds up no other. */
export function useBulkDecide(): BulkDecide {
  const [mutate] = useDecideApprovalMutation({ context: { outbox: true } });
  const [deciding, setDeciding] = useState(0);
  const [outcomes, setOutcomes] = useState<readonly BulkOutcome[]>([]);
  const decideOne = async (approval: LiveApproval, decision: Decision): Promise<BulkOutcome> => {
    try {
      const { data } = await mutate({ variables: decisionOf(approval, decision) });
      return { approval, status: data?.decideApproval.status ?? "PENDING" };
    } catch (error) {
      return { approval, error };
    }
  };
  return {
    deciding,
    outcomes,
    decideAll: async (approvals, decision) => {
      setOutcomes([]);
      setDeciding(approvals.length);
      setOutcomes(await Promise.all(approvals.map((approval) => decideOne(approval, decision))));
      setDeciding(0);
    },
    forget: () => {
      setOutcomes([]);
    },
  };
}
