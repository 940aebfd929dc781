import type { LiveApproval } from "@sba/client";
import { useApprovalsLive, type UseLiveResult } from "@sba/client/react";
import { createContext, useContext, useMemo, type ReactNode } from "react";
import { usePermission } from "../session/permission.tsx";

/** What waits for a decision, followed once for the whole console: the badge, the window's title and the inbox show the same. */

interface Inbox {
  readonly live: UseLiveResult<readonly LiveApproval[]> | undefined;
  /** Those that the one who is signed in may decide. */
  readonly mine: readonly LiveApproval[];
}

const InboxContext = createContext<Inbox>({ live: undefined, mine: [] });

export function InboxProvider({ children }: { readonly children: ReactNode }) {
  const mayRead = usePermission("approval:read");
  const live = useApprovalsLive({ skip: !mayRead });
  const inbox = useMemo(() => ({ live, mine: (live.data ?? []).filter(({ mayDecide }) => mayDecide) }), [live]);
  return <InboxContext value={inbox}>{children}</InboxContext>;
}

export function useInbox(): Inbox {
  return useContext(InboxContext);
}
