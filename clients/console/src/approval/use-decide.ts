import type { ApprovalDecision, LiveApproval } from "@sba/client";
import { useDecideApprovalMutation } from "@sba/client/react";
import { useState } from "react";

export interface Decision {
  readonly decision: ApprovalDecision;
  readonly reason?: string;
  readonly editedParams?: Readonly<Record<string, unknown>>;
}

/** What is sent to decide an approval as it was seen: if it has changed since, the API refuses (CONFLICT). */
export function decisionOf(
  { id, fingerprint, version }: Pick<LiveApproval, "id" | "fingerprint" | "version">,
  { decision, reason, editedParams }: Decision,
) {
  return {
    approvalId: id,
    decision,
    fingerprint,
    expectedVersion: version,
    ...(reason === undefined ? {} : { reason }),
    ...(editedParams === undefined ? {} : { editedParams }),
  };
}

export interface Decide {
  readonly decide: (decision: Decision) => Promise<void>;
  readonly isDeciding: boolean;
  readonly error: unknown;
  /** It was taken, and others have to decide, too. */
  readonly hasVoted: boolean;
}

/** Decides one approval. It waits in the outbox while nobody can be reached, and is sent once. */
export function useDecide(approval: LiveApproval): Decide {
  const [mutate, { loading }] = useDecideApprovalMutation({ context: { outbox: true } });
  const [error, setError] = useState<unknown>();
  const [votedOn, setVotedOn] = useState<string>();
  const decide = async (decision: Decision): Promise<void> => {
    setError(undefined);
    try {
      const { data } = await mutate({ variables: decisionOf(approval, decision) });
      if (data?.decideApproval.status === "PENDING") setVotedOn(data.decideApproval.fingerprint);
    } catch (thrown) {
      setError(thrown);
    }
  };
  return { decide, isDeciding: loading, error, hasVoted: votedOn !== undefined && votedOn === approval.fingerprint };
}
