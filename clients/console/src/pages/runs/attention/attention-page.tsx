import { Anchor, Button, Code, Group, SegmentedControl, Stack, Text } from "@mantine/core";
import { useReplayDeadLetterMutation } from "@sba/client/react";
import { useState } from "react";
import { Link } from "wouter";
import { usePages } from "../../../data/use-pages.ts";
import type { RunsDeadLettersQuery } from "../../../generated/runs/graphql.ts";
import { useRunsDeadLettersQuery, useRunsUnknownToolCallsQuery } from "../../../generated/runs/hooks.ts";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { EmptyState } from "../../../parts/empty-state.tsx";
import { useNotify } from "../../../parts/error-notice.tsx";
import { IconCheck, IconRefresh } from "../../../parts/icons.ts";
import { LoadMore } from "../../../parts/load-more.tsx";
import { Page } from "../../../parts/page.tsx";
import { QueryState } from "../../../parts/query-state.tsx";
import { Allowed } from "../../../session/permission.tsx";
import { titleOf } from "../run/detail.ts";
import { Section } from "../../../parts/section.tsx";
import { ToolCallBody } from "../run/tool-calls.tsx";
import classes from "../runs.module.css";
import { messages } from "./messages.ts";

const ASK_EVERY_MS = 10_000;

/** What goes on only when an operator says how. */
export default function AttentionPage() {
  const t = useMessages(messages);
  return (
    <Page back={{ href: "/runs", label: t.back }} title={t.title} description={t.description}>
      <Allowed to="toolcall:resolve">
        <UnknownCalls />
      </Allowed>
      <Allowed to="run:operate">
        <DeadLetters />
      </Allowed>
    </Page>
  );
}

function UnknownCalls() {
  const t = useMessages(messages);
  const result = useRunsUnknownToolCallsQuery({ fetchPolicy: "cache-and-network", pollInterval: ASK_EVERY_MS });
  const pages = usePages(result, ({ unknownToolCalls }) => unknownToolCalls);
  // What was just resolved is one no more.
  const calls = pages.items.filter(({ status }) => status === "UNKNOWN");
  return (
    <Section title={t.unknown}>
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => calls.length === 0}
        empty={<EmptyState icon={<IconCheck size={28} />} title={t.unknownNone} text={t.unknownNoneText} />}
      >
        {() => (
          <Stack gap="xl">
            {calls.map((call) => (
              <Stack key={call.id} gap="sm">
                <Group justify="space-between">
                  <Text fw={600}>{call.name}</Text>
                  {call.run && (
                    <Text size="sm" c="dimmed">
                      {t.ofRun}{" "}
                      <Anchor component={Link} href={`/runs/${call.run.id}`}>
                        {titleOf(call.run.prompt)}
                      </Anchor>
                    </Text>
                  )}
                </Group>
                <ToolCallBody call={call} />
              </Stack>
            ))}
          </Stack>
        )}
      </QueryState>
      <LoadMore pages={pages} />
    </Section>
  );
}

const WHICH = { open: false, replayed: true, all: undefined } as const;
type Which = keyof typeof WHICH;

function DeadLetters() {
  const t = useMessages(messages);
  const [which, setWhich] = useState<Which>("open");
  const isReplayed = WHICH[which];
  const result = useRunsDeadLettersQuery({
    variables: isReplayed === undefined ? {} : { isReplayed },
    fetchPolicy: "cache-and-network",
  });
  const pages = usePages(result, ({ deadLetters }) => deadLetters);
  return (
    <Section title={t.dead}>
      <Stack gap="md">
        <SegmentedControl
          size="xs"
          aria-label={t.which}
          style={{ alignSelf: "flex-start" }}
          data={(Object.keys(WHICH) as Which[]).map((value) => ({ value, label: t[value] }))}
          value={which}
          onChange={(value) => {
            setWhich(value);
          }}
        />
        <QueryState
          data={result.data}
          error={result.error}
          onRetry={() => void result.refetch()}
          isEmpty={() => pages.items.length === 0}
          empty={<EmptyState icon={<IconCheck size={28} />} title={t.deadNone} text={t.deadNoneText} />}
        >
          {() => pages.items.map((letter) => <DeadLetterRow key={letter.id} letter={letter} />)}
        </QueryState>
        <LoadMore pages={pages} />
      </Stack>
    </Section>
  );
}

type DeadLetter = RunsDeadLettersQuery["deadLetters"]["edges"][number]["node"];

function DeadLetterRow({ letter }: { readonly letter: DeadLetter }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { run, reason, attempts, failedAt, replayedAt, replayedBy, replayedAs } = letter;
  return (
    <Group justify="space-between" align="flex-start" gap="sm" className={classes["letter"]}>
      <div className={classes["rowMain"]}>
        {run ? (
          <Anchor component={Link} href={`/runs/${run.id}`} fw={550}>
            {titleOf(run.prompt)}
          </Anchor>
        ) : (
          <Text c="dimmed">{t.gone}</Text>
        )}
        <Text size="sm" c="dimmed">
          <Code>{reason}</Code> · {t.attempts(attempts)} · {format.relative(failedAt)}
        </Text>
        {replayedAt !== null && (
          <Text size="sm" c="dimmed">
            {t.replayedBy(replayedBy?.displayName ?? "", format.relative(replayedAt))}
          </Text>
        )}
      </div>
      {replayedAs ? (
        <Button component={Link} href={`/runs/${replayedAs.id}`} size="xs" variant="default">
          {t.toReplay}
        </Button>
      ) : (
        run && <ReplayButton runId={run.id} />
      )}
    </Group>
  );
}

function ReplayButton({ runId }: { readonly runId: string }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [replay, { loading }] = useReplayDeadLetterMutation({
    context: { outbox: true },
    refetchQueries: ["RunsDeadLetters"],
  });
  const start = async (): Promise<void> => {
    await replay({ variables: { runId } });
    notify.success(t.started);
  };
  return (
    <Button
      size="xs"
      leftSection={<IconRefresh size={14} />}
      loading={loading}
      onClick={() => {
        start().catch(notify.error);
      }}
    >
      {t.replay}
    </Button>
  );
}
