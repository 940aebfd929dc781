import { ApprovalDocument, ConflictError, toApiError, type ApprovalDecision, type LiveApproval } from "@sba/client";
import { useClient, useDecideApprovalMutation } from "@sba/client/react";
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
  /** As it is known now: after a conflict as it was read anew, also where nothing live tells. */
  readonly approval: LiveApproval;
  readonly decide: (decision: Decision) => Promise<void>;
  readonly isDeciding: boolean;
  readonly error: unknown;
  /** It was taken, and others have to decide, too. */
  readonly hasVoted: boolean;
}

/** Decides one approval. It waits in the outbox while nobody can be reached, and is sent once. */
export function useDecide(seen: LiveApproval): Decide {
  const client = useClient();
  const [mutate, { loading }] = useDecideApprovalMutation({ context: { outbox: true } });
  const [error, setError] = useState<unknown>();
  const [votedOn, setVotedOn] = useState<string>();
  const [reread, setReread] = useState<LiveApproval>();
  const approval = reread !== undefined && reread.version > seen.version ? reread : seen;
  const decide = async (decision: Decision): Promise<void> => {
    setError(undefined);
    try {
      const { data } = await mutate({ variables: decisionOf(approval, decision) });
      if (data?.decideApproval.status === "PENDING") setVotedOn(data.decideApproval.fingerprint);
    } catch (thrown) {
      setError(thrown);
      if (!(toApiError(thrown) instanceof ConflictError)) return;
      // What cannot be read anew is told by the stream, or by the next try.
      const current = await client.query(ApprovalDocument, { id: seen.id }).catch(() => undefined);
      setReread(current?.approval);
    }
  };
  const hasVoted = votedOn !== undefined && votedOn === approval.fingerprint;
  return { approval, decide, isDeciding: loading, error, hasVoted };
}

/** What the API says of edited params, by the name of each: those that the tool does not take. */
export function problemsOf(error: unknown): Readonly<Record<string, string>> {
  if (error === undefined) return {};
  const details = toApiError(error).errors[0]?.extensions?.["details"] as
    { readonly issues?: readonly { readonly path: string; readonly message: string }[] } | undefined;
  return Object.fromEntries((details?.issues ?? []).map(({ path, message }) => [path.split(".", 1)[0] ?? "", message]));
}
