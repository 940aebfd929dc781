import { Alert, Stack, Text } from "@mantine/core";
import { useRunLive } from "@sba/client/react";
import { useEffect, useMemo } from "react";
import { useInbox } from "../../../app/inbox.tsx";
import { ApprovalCard } from "../../../approval/card.tsx";
import { useRunsDetailQuery } from "../../../generated/runs/hooks.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { IconAlertTriangle } from "../../../parts/icons.ts";
import { Page } from "../../../parts/page.tsx";
import { QueryState } from "../../../parts/query-state.tsx";
import { Section } from "../../../parts/section.tsx";
import { TimelineChart } from "../../../timeline/chart.tsx";
import { RunRow } from "../row.tsx";
import classes from "../runs.module.css";
import { timelineOf, type RunEvent } from "../timeline.ts";
import { useRunEvents } from "../use-run-events.ts";
import { RunActions } from "./actions.tsx";
import { titleOf, type RunDetail } from "./detail.ts";
import { Facts } from "./facts.tsx";
import { messages } from "./messages.ts";
import { Outcome } from "./outcome.tsx";
import { ToolCalls } from "./tool-calls.tsx";

/** One run: what it is, what it did over time, and what may be done to it; live while it goes on. */
export default function RunPage({ runId }: { readonly runId: string }) {
  const t = useMessages(messages);
  const live = useRunLive(runId);
  const { events, error: eventsError, reload } = useRunEvents(runId);
  const detail = useRunsDetailQuery({ variables: { id: runId }, fetchPolicy: "cache-and-network" });
  useReadAgain(events, detail.refetch);
  const run = detail.data?.run;
  const back = { href: "/runs", label: t.back };
  const status = live.data?.run.status ?? run?.status;
  return (
    <Page
      back={back}
      title={run ? titleOf(run.prompt) : t.title}
      actions={run && status !== undefined && <RunActions runId={runId} status={status} />}
    >
      <QueryState
        data={run && live.data ? { run, live: live.data } : undefined}
        error={detail.error ?? live.error ?? eventsError}
        back={back}
        onRetry={() => {
          void detail.refetch();
          live.reload();
          reload();
        }}
      >
        {({ run: shown, live: now }) => (
          <Stack gap="lg">
            <Facts run={shown} live={now} />
            <Waiting runId={runId} />
            <WhatItDid
              events={events}
              startedAt={now.run.startedAt ?? shown.startedAt}
              endedAt={now.run.endedAt ?? shown.endedAt}
            />
            <Outcome run={shown} live={now} />
            <ToolCalls run={shown} />
            <Children run={shown} />
          </Stack>
        )}
      </QueryState>
    </Page>
  );
}

/** Tells more than tokens: steps, calls, approvals, files. Then what only the run itself says is read again. */
const QUIET: ReadonlySet<string> = new Set(["TokenDelta", "UsageRecorded"]);
const READ_AGAIN_MS = 300;

function useReadAgain(events: readonly RunEvent[], refetch: () => Promise<unknown>): void {
  const marks = useMemo(() => events.filter(({ __typename }) => !QUIET.has(__typename)).length, [events]);
  useEffect(() => {
    if (marks === 0) return undefined;
    const timer = setTimeout(() => {
      // What fails is shown where it was read first.
      void refetch().catch(() => undefined);
    }, READ_AGAIN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [marks, refetch]);
}

/** What of this run waits for a decision. */
function Waiting({ runId }: { readonly runId: string }) {
  const { live } = useInbox();
  const waiting = (live?.data ?? []).filter(({ run }) => run?.id === runId);
  return waiting.map((approval) => <ApprovalCard key={approval.id} approval={approval} />);
}

interface WhatItDidProps {
  readonly events: readonly RunEvent[];
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

function WhatItDid({ events, startedAt, endedAt }: WhatItDidProps) {
  const t = useMessages(messages);
  const timeline = useMemo(() => timelineOf(events, { startedAt, endedAt }), [events, startedAt, endedAt]);
  const gap = events.find((event) => event.__typename === "StreamGap");
  const usage = events.find((event) => event.__typename === "UsageRecorded");
  return (
    <Section title={t.timeline} description={t.timelineText}>
      {gap && (
        <Alert color="yellow" variant="light" icon={<IconAlertTriangle size={18} />} mb="sm">
          {t.gap(gap.toSeq - gap.fromSeq + 1)}
        </Alert>
      )}
      {timeline && timeline.bars.length > 0 ? (
        <TimelineChart timeline={timeline} currency={usage?.usage[0]?.cost.currency} />
      ) : (
        <Text c="dimmed">{t.timelineNone}</Text>
      )}
    </Section>
  );
}

function Children({ run: { children } }: { readonly run: RunDetail }) {
  const t = useMessages(messages);
  if (children.length === 0) return null;
  return (
    <Section title={t.children} isFlush>
      <ul className={`${classes["list"]} ${classes["inside"]}`}>
        {children.map((child) => (
          <RunRow key={child.id} run={child} />
        ))}
      </ul>
    </Section>
  );
}
