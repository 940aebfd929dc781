import { ActionIcon, Group, Paper, SegmentedControl, Slider, Stack, Text, Title, Tooltip } from "@mantine/core";
import { memo, useMemo, type ReactNode } from "react";
import { messages as approvalMessages } from "../../../approval/messages.ts";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { EmptyState } from "../../../parts/empty-state.tsx";
import {
  IconListDetails,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerSkipBack,
  IconPlayerSkipForward,
} from "../../../parts/icons.ts";
import { Page } from "../../../parts/page.tsx";
import { QueryState } from "../../../parts/query-state.tsx";
import { Allowed } from "../../../session/permission.tsx";
import { messages as timelineMessages } from "../../../timeline/messages.ts";
import { messages as listMessages } from "../messages.ts";
import type { RunEvent } from "../timeline.ts";
import { useRunEvents } from "../use-run-events.ts";
import { describe } from "./describe.ts";
import { Fork } from "./fork.tsx";
import { messages } from "./messages.ts";
import classes from "./replay.module.css";
import { ScreenView } from "./screen-view.tsx";
import { screensOf } from "./screen.ts";
import { usePlayback, type Playback } from "./use-playback.ts";
import { VirtualList } from "./virtual-list.tsx";

/** The events of a run, played again: what was on screen at any of them, and a fork from it. */
export default function ReplayPage({ runId }: { readonly runId: string }) {
  const t = useMessages(messages);
  const runs = useMessages(listMessages);
  const { events, isEnded, error, reload } = useRunEvents(runId);
  const playback = usePlayback(events);
  const isRead = events.length > 0 || isEnded;
  return (
    <Page
      back={{ href: `/runs/${runId}`, label: t.back }}
      title={t.title}
      description={t.description}
      actions={
        <Allowed to="run:start">
          <Fork runId={runId} seq={events[playback.count - 1]?.seq} />
        </Allowed>
      }
    >
      <QueryState
        data={isRead && (error === undefined || events.length > 0) ? events : undefined}
        error={error}
        onRetry={reload}
        back={{ href: "/runs", label: runs.back }}
        isEmpty={(all) => all.length === 0}
        empty={<EmptyState icon={<IconListDetails size={28} />} title={t.none} text={t.noneText} />}
      >
        {(all) => (
          <Stack gap="md">
            <Controls events={all} playback={playback} />
            <div className={classes["halves"]}>
              <Events events={all} playback={playback} />
              <OnScreen events={all} count={playback.count} />
            </div>
          </Stack>
        )}
      </QueryState>
    </Page>
  );
}

interface PartProps {
  readonly events: readonly RunEvent[];
  readonly playback: Playback;
}

const SPEEDS = [1, 4, 16] as const;

function Controls({ events, playback: { count, isPlaying, speed, setSpeed, goTo, toggle } }: PartProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const [first, current] = [events[0], events[count - 1]];
  const sinceMs = first && current ? Date.parse(current.at) - Date.parse(first.at) : 0;
  const where = count === 0 ? t.beginning : t.at(count, events.length);
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label={t.position}>
      <Stack gap="sm">
        <Group justify="space-between" gap="sm">
          <Group gap={6} wrap="nowrap">
            <Control
              label={t.previous}
              isDisabled={count === 0}
              onClick={() => {
                goTo(count - 1);
              }}
            >
              <IconPlayerSkipBack size={18} />
            </Control>
            <ActionIcon size={40} radius="xl" aria-label={isPlaying ? t.pause : t.play} onClick={toggle}>
              {isPlaying ? <IconPlayerPause size={20} /> : <IconPlayerPlay size={20} />}
            </ActionIcon>
            <Control
              label={t.next}
              isDisabled={count === events.length}
              onClick={() => {
                goTo(count + 1);
              }}
            >
              <IconPlayerSkipForward size={18} />
            </Control>
          </Group>
          <Text size="sm" className={classes["where"]}>
            {where}
            {current && ` · +${format.duration(sinceMs)}`}
          </Text>
          <SegmentedControl
            size="xs"
            aria-label={t.speed}
            data={SPEEDS.map((each) => ({ value: String(each), label: `${each}×` }))}
            value={String(speed)}
            onChange={(value) => {
              setSpeed(Number(value));
            }}
          />
        </Group>
        <Slider
          thumbLabel={t.position}
          thumbValueText={where}
          label={null}
          min={0}
          max={events.length}
          value={count}
          onChange={goTo}
        />
      </Stack>
    </Paper>
  );
}

interface ControlProps {
  readonly label: string;
  readonly isDisabled: boolean;
  readonly onClick: () => void;
  readonly children: ReactNode;
}

function Control({ label, isDisabled, onClick, children }: ControlProps) {
  return (
    <Tooltip label={label}>
      <ActionIcon size={34} radius="xl" variant="default" aria-label={label} disabled={isDisabled} onClick={onClick}>
        {children}
      </ActionIcon>
    </Tooltip>
  );
}

function Events({ events, playback: { count, goTo } }: PartProps) {
  const t = useMessages(messages);
  const startMs = Date.parse(events[0]?.at ?? "");
  return (
    <Paper withBorder radius="lg" component="section" aria-label={t.events} className={classes["half"]}>
      <Title order={2} size="h5" px="md" py="sm">
        {t.events}
      </Title>
      <VirtualList
        label={t.events}
        count={events.length}
        selected={count - 1}
        onSelect={(index) => {
          goTo(index + 1);
        }}
      >
        {(index) => {
          const event = events[index];
          return event && <EventLine event={event} startMs={startMs} />;
        }}
      </VirtualList>
    </Paper>
  );
}

interface EventLineProps {
  readonly event: RunEvent;
  readonly startMs: number;
}

/** Kept as it is while it stays in sight. */
const EventLine = memo(function EventLine({ event, startMs }: EventLineProps) {
  const texts = {
    ...{ t: useMessages(messages), runs: useMessages(listMessages), approvals: useMessages(approvalMessages) },
    kinds: useMessages(timelineMessages),
  };
  const format = useFormat();
  return (
    <div className={classes["event"]} data-type={event.__typename} data-level={event.level}>
      <span className={classes["seq"]}>{event.seq}</span>
      <span className={classes["what"]}>{describe(event, texts, format)}</span>
      <span className={classes["since"]}>+{format.duration(Date.parse(event.at) - startMs)}</span>
    </div>
  );
});

function OnScreen({ events, count }: { readonly events: readonly RunEvent[]; readonly count: number }) {
  const t = useMessages(messages);
  const screens = useMemo(() => screensOf(events), [events]);
  return (
    <Paper withBorder radius="lg" className={classes["half"]}>
      <Title order={2} size="h5" px="md" py="sm">
        {t.screen}
      </Title>
      <div className={classes["screen"]} tabIndex={0} role="region" aria-label={t.screen}>
        <ScreenView screen={screens.at(count)} />
      </div>
    </Paper>
  );
}
