import type { ApprovalsLiveSnapshotQuery, ApprovalsLiveSubscription } from "../generated/graphql.ts";
import type { LiveModel } from "./definition.ts";

/** The inbox: what waits for a decision, newest first. */

export type LiveApproval = ApprovalsLiveSubscription["approvalEvents"]["approval"];

export const approvalsModel: LiveModel<ApprovalsLiveSnapshotQuery, ApprovalsLiveSubscription, readonly LiveApproval[]> =
  {
    from: "after",
    begin: ({ approvals }) => approvals.edges.map(({ node }) => node),
    fold: (state, events) => {
      const waiting = new Map(state.toReversed().map((approval) => [approval.id, approval]));
      for (const { data } of events) {
        const { approval } = data.approvalEvents;
        if (approval.status === "PENDING") waiting.set(approval.id, approval);
        else waiting.delete(approval.id);
      }
      return [...waiting.values()].reverse();
    },
    isGap: ({ approvalEvents }) => approvalEvents.gap !== null,
  };
