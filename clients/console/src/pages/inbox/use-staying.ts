import { ApprovalDocument, type LiveApproval } from "@sba/client";
import { useClient } from "@sba/client/react";
import { useEffect, useState } from "react";

interface Staying {
  readonly approval: LiveApproval;
  /** Whoever looks at it may decide it, or could when it came. */
  readonly isMine: boolean;
}

const NOTHING: readonly LiveApproval[] = [];

/**
 * What waits, and in its place what has ended while it was looked at: nothing moves or goes from under somebody's hand, and who was
 * faster is said where it was waiting.
 */
export function useStaying(live: readonly LiveApproval[] = NOTHING): readonly Staying[] {
  const client = useClient();
  const [seen, setSeen] = useState<readonly LiveApproval[]>(NOTHING);
  const [shown, setShown] = useState<readonly Staying[]>([]);
  if (live !== seen) {
    setSeen(live);
    setShown(merge(shown, live));
  }
  const waiting = new Set(live.map(({ id }) => id));
  const gone = shown.filter(({ approval: { id, status } }) => status === "PENDING" && !waiting.has(id));
  const key = gone.map(({ approval }) => approval.id).join();
  useEffect(() => {
    for (const id of key === "" ? [] : key.split(","))
      client.query(ApprovalDocument, { id }).then(
        ({ approval }) => {
          setShown((before) => merge(before, [approval]));
        },
        // It goes on as it was seen: whoever decides it then is told.
        () => undefined,
      );
  }, [client, key]);
  return shown;
}

function merge(before: readonly Staying[], approvals: readonly LiveApproval[]): readonly Staying[] {
  const all = new Map(before.map((each) => [each.approval.id, each]));
  for (const approval of approvals)
    all.set(approval.id, { approval, isMine: approval.mayDecide || (all.get(approval.id)?.isMine ?? false) });
  return [...all.values()].toSorted((a, b) => b.approval.createdAt.localeCompare(a.approval.createdAt));
}
