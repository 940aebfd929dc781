import type { messages as approvalMessages } from "../../../approval/messages.ts";
import type { Format } from "../../../i18n/format.ts";
import type { useMessages } from "../../../i18n/messages.ts";
import type { messages as timelineMessages } from "../../../timeline/messages.ts";
import type { messages as listMessages } from "../messages.ts";
import type { RunEvent } from "../timeline.ts";
import type { messages } from "./messages.ts";

type TextsOf<M extends { readonly en: object }> = ReturnType<typeof useMessages<M["en"]>>;

interface Texts {
  readonly t: TextsOf<typeof messages>;
  readonly runs: TextsOf<typeof listMessages>;
  readonly approvals: TextsOf<typeof approvalMessages>;
  readonly kinds: TextsOf<typeof timelineMessages>;
}

/** An event in one line. */
export function describe(event: RunEvent, { t, runs, approvals, kinds }: Texts, format: Format): string {
  switch (event.__typename) {
    case "RunStatusChanged":
      return t.RunStatusChanged(event.to in runs ? runs[event.to] : event.to);
    case "StepStarted":
      return t.StepStarted(event.step.number, kinds[event.step.type]);
    case "StepFinished":
    case "StepRestarted":
      return t[event.__typename](event.step.number);
    case "TokenDelta":
      return t.TokenDelta(event.text.replaceAll(/\s+/g, " ").trim());
    case "ToolRequested":
    case "ToolOutcomeUnknown":
      return t[event.__typename](event.toolCall.name);
    case "ToolResulted":
      return t.ToolResulted(event.toolCall.name, event.toolCall.success === true);
    case "ApprovalRequested":
      return t.ApprovalRequested(event.approval.action);
    case "ApprovalDecided":
      return t.ApprovalDecided(event.approval.action, approvals[event.approval.status]);
    case "ArtifactCreated":
      return t.ArtifactCreated(event.artifact?.name ?? "");
    case "UsageRecorded": {
      const [first] = event.usage;
      const micros = event.usage.reduce((sum, { cost }) => sum + BigInt(cost.amountMicros), 0n);
      return t.UsageRecorded(first ? format.money({ ...first.cost, amountMicros: String(micros) }) : "");
    }
    case "RunInputReceived":
      return t.RunInputReceived(event.text);
    case "RunInputTold":
      return t.RunInputTold(event.stepNumber);
    case "RunFinished":
      return t.RunFinished;
    case "RunFailed":
      return t.RunFailed(event.error?.code ?? "");
    case "StreamGap":
      return t.StreamGap(event.toSeq - event.fromSeq + 1);
    default:
      return t.other((event as { readonly __typename: string }).__typename);
  }
}
