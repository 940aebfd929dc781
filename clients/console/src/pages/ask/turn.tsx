import { Alert, Button, Group, Loader, Stack, Text, VisuallyHidden } from "@mantine/core";
import { shallowEqual } from "@mantine/hooks";
import type { RunLive } from "@sba/client";
import { useCancelRunMutation, useResumeRunMutation, type UseLiveResult } from "@sba/client/react";
import { memo, useMemo, useState, type ReactNode } from "react";
import { isEnded } from "../../data/is-ended.ts";
import { ApprovalCard } from "../../approval/card.tsx";
import type { AskThreadQuery } from "../../generated/ask/graphql.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconPlayerPlay, IconPlayerStop } from "../../parts/icons.ts";
import { Lines, QueryState } from "../../parts/query-state.tsx";
import { useLate } from "../../parts/use-late.ts";
import { Allowed } from "../../session/permission.tsx";
import { Answer, sourcesOf } from "../../answer/answer.tsx";
import { Artifacts } from "../../answer/artifacts.tsx";
import classes from "./ask.module.css";
import { flowOf, isWorking, type FlowItem } from "./flow.ts";
import { messages } from "./messages.ts";
import { SourceDrawer, Sources, type Source } from "../../answer/source.tsx";
import { Status } from "./status.tsx";
import { ToolCall } from "./tool-call.tsx";

type PastRun = AskThreadQuery["runs"]["edges"][number]["node"];

/** A question and its answer, as it has ended. */
export function PastTurn({ run }: { readonly run: PastRun }) {
  const [source, setSource] = useState<Source>();
  const text = run.output ?? "";
  const sources = useMemo(() => sourcesOf(text, run.citations), [text, run.citations]);
  return (
    <Turn prompt={run.prompt}>
      {text !== "" && <Answer text={text} sources={sources} onOpen={setSource} />}
      <Ending status={run.status} error={run.error} />
      <Sources sources={sources} onOpen={setSource} />
      <Artifacts artifacts={run.artifacts} />
      <Facts run={run} />
      <SourceDrawer
        source={source}
        onClose={() => {
          setSource(undefined);
        }}
      />
    </Turn>
  );
}

/** A question and its answer as it comes: every token, tool call and approval, in the order in which they happen. */
export function LiveTurn({ live }: { readonly live: UseLiveResult<RunLive> }) {
  const t = useMessages(messages);
  return (
    <QueryState
      data={live.data}
      error={live.error}
      onRetry={live.reload}
      back={{ href: "/ask", label: t.newThread }}
      skeleton={<Lines count={5} />}
    >
      {(data) => <LiveRun data={data} isCaughtUp={live.isCaughtUp} />}
    </QueryState>
  );
}

function LiveRun({ data, isCaughtUp }: { readonly data: RunLive; readonly isCaughtUp: boolean }) {
  const t = useMessages(messages);
  const [source, setSource] = useState<Source>();
  const { run, artifacts } = data;
  // What has ended is shown as it ended until its events are here.
  const output = isEnded(run.status) && !isCaughtUp ? run.output : null;
  const text = run.output ?? data.text;
  const sources = useMemo(() => sourcesOf(text, run.citations), [text, run.citations]);
  const flow = useMemo(() => (output === null ? flowOf(data) : []), [data, output]);
  const isActive = isWorking(run.status);
  const isSilent = isActive && !flow.some((item) => item.kind === "text" && item.isOpen);
  return (
    <Turn prompt={run.prompt} isBusy={isActive}>
      {output !== null && <Answer text={output} sources={sources} onOpen={setSource} />}
      {flow.map((item) => (
        <Item key={item.key} item={item} isActive={isActive} sources={sources} onOpen={setSource} />
      ))}
      {isSilent && <AtWork />}
      <VisuallyHidden role="status">
        {isActive ? t.isAnswering : isEnded(run.status) ? t.isDone : t[run.status]}
      </VisuallyHidden>
      <Ending status={run.status} error={run.error} />
      <Sources sources={sources} onOpen={setSource} />
      <Artifacts artifacts={artifacts} />
      <Group justify="space-between" gap="sm">
        <Facts run={run} />
        <Controls runId={run.id} status={run.status} />
      </Group>
      <SourceDrawer
        source={source}
        onClose={() => {
          setSource(undefined);
        }}
      />
    </Turn>
  );
}

/** A second without a word is long; what moves before would only take the time of what is being drawn. */
const LONG_MS = 1_000;

function AtWork() {
  const t = useMessages(messages);
  const isLong = useLate(true, LONG_MS);
  return (
    <Group gap="xs" c="dimmed" mih={22}>
      {isLong && <Loader size="xs" type="dots" aria-hidden />}
      <Text size="sm">{t.thinking}</Text>
    </Group>
  );
}

interface TurnProps {
  readonly prompt: string;
  readonly isBusy?: boolean;
  readonly children: ReactNode;
}

/** What was asked, and below it what came of it. */
export function Turn({ prompt, isBusy = false, children }: TurnProps) {
  const t = useMessages(messages);
  return (
    <Stack component="article" gap="md" aria-busy={isBusy} aria-label={prompt}>
      <div className={classes["prompt"]}>
        <VisuallyHidden>{t.you}: </VisuallyHidden>
        {prompt}
      </div>
      <Stack gap="md" className={classes["answer"]}>
        {children}
      </Stack>
    </Stack>
  );
}

interface ItemProps {
  readonly item: FlowItem;
  readonly isActive: boolean;
  readonly sources: readonly Source[];
  readonly onOpen: (source: Source) => void;
}

/** Most of them stay as they are while another grows. */
const Item = memo(function Item({ item, isActive, sources, onOpen }: ItemProps) {
  const t = useMessages(messages);
  switch (item.kind) {
    case "text":
      return (
        <div data-answer>
          <Answer text={item.text} sources={sources} onOpen={onOpen} />
        </div>
      );
    case "tool":
      return <ToolCall call={item.call} isUnderWay={isActive && !item.isWaiting} />;
    case "approval":
      return <ApprovalCard approval={item.approval} />;
    case "input": {
      const { text, ordinal, toldInStep } = item.input;
      return (
        <Stack gap={2} align="flex-end">
          <div className={classes["prompt"]}>{text}</div>
          <Text size="xs" c="dimmed">
            {ordinal === null ? t.answeredElsewhere : toldInStep === undefined ? t.untold : t.told}
          </Text>
        </Stack>
      );
    }
  }
}, isSameItem);

function isSameItem({ item: one, ...before }: ItemProps, { item: other, ...after }: ItemProps): boolean {
  return shallowEqual(before, after) && shallowEqual(one, other);
}

/** What there is to say of a run that is not simply done. */
function Ending({ status, error }: Pick<PastRun, "status" | "error">) {
  const t = useMessages(messages);
  if (status === "FAILED")
    return (
      <Alert color="red" variant="light" title={t.failed} role="alert">
        {error?.message} {error && <Text span size="xs" c="dimmed">{`(${error.code})`}</Text>}
      </Alert>
    );
  const said = { CANCELLED: t.cancelled, PAUSED: t.paused, AWAITING_INPUT: t.asksYou, PLANNING: t.planned }[
    status as string
  ];
  if (said === undefined) return null;
  return (
    <Alert color={status === "AWAITING_INPUT" ? "yellow" : "gray"} variant="light" role="status">
      {said}
    </Alert>
  );
}

interface FactsProps {
  readonly run: Pick<PastRun, "status" | "cost" | "startedAt" | "endedAt" | "agent"> & {
    readonly usage: readonly { readonly meter: string; readonly quantity: string }[] | null;
  };
}

/** What it cost so far, and how long it took. */
const Facts = memo(function Facts({ run: { status, cost, usage, startedAt, endedAt, agent } }: FactsProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const tokens = (usage ?? [])
    .filter(({ meter }) => /Tokens$/.test(meter))
    .reduce((sum, { quantity }) => sum + BigInt(quantity), 0n);
  const facts = [
    agent?.name,
    cost && `${t.cost} ${format.money(cost)}`,
    tokens > 0n && t.tokens(format.quantity(String(tokens))),
    startedAt && endedAt && `${t.took} ${format.duration(Date.parse(endedAt) - Date.parse(startedAt))}`,
  ];
  return (
    <Group gap="xs">
      <Status status={status} />
      <Text size="xs" c="dimmed" data-facts>
        {facts.filter(Boolean).join(" · ")}
      </Text>
    </Group>
  );
});

const Controls = memo(function Controls({
  runId,
  status,
}: {
  readonly runId: string;
  readonly status: PastRun["status"];
}) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [cancel, { loading: isCancelling }] = useCancelRunMutation();
  const [resume, { loading: isResuming }] = useResumeRunMutation();
  if (isEnded(status)) return null;
  return (
    <Allowed to="run:cancel">
      <Group gap="xs">
        {status === "PAUSED" && (
          <Button
            size="xs"
            variant="light"
            leftSection={<IconPlayerPlay size={14} />}
            loading={isResuming}
            onClick={() => {
              resume({ variables: { runId } }).catch(notify.error);
            }}
          >
            {t.resume}
          </Button>
        )}
        <Button
          size="xs"
          variant="default"
          leftSection={<IconPlayerStop size={14} />}
          loading={isCancelling || status === "CANCELLING"}
          onClick={() => {
            cancel({ variables: { runId } }).catch(notify.error);
          }}
        >
          {t.stop}
        </Button>
      </Group>
    </Allowed>
  );
});
