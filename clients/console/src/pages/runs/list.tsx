import { Button, Group, Paper, Skeleton, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { isEnded } from "../../data/is-ended.ts";
import { usePages } from "../../data/use-pages.ts";
import { useRunsListQuery } from "../../generated/runs/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconArrowsDiff, IconListDetails, IconSearch, IconTool } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { usePermission } from "../../session/permission.tsx";
import { Filters } from "./filters.tsx";
import { messages } from "./messages.ts";
import { Choose, FollowRun, RunRow } from "./row.tsx";
import classes from "./runs.module.css";
import { useRunFilter } from "./use-filter.ts";

const PAGE_SIZE = 25;
/** New runs appear by being asked for: there is no stream of a tenant's runs. */
const ASK_EVERY_MS = 5_000;
/** Each run that goes on is followed by a stream of its own. */
const FOLLOWED_AT_MOST = 20;

export function RunList() {
  const t = useMessages(messages);
  const filter = useRunFilter();
  const [isLong, setLong] = useState(false);
  const result = useRunsListQuery({
    variables: { first: PAGE_SIZE, filter: filter.filter },
    fetchPolicy: "cache-and-network",
    // Asked for anew, the list is its first page again: not while somebody reads further down.
    pollInterval: isLong ? 0 : ASK_EVERY_MS,
    skipPollAttempt: () => document.hidden,
  });
  const pages = usePages(result, ({ runs }) => runs);
  const goesOn = pages.items.filter(({ status }) => !isEnded(status)).slice(0, FOLLOWED_AT_MOST);
  return (
    <Page title={t.title} description={t.description} actions={<Attention />}>
      <Filters {...filter} />
      <QueryState
        data={result.data ?? result.previousData}
        error={result.error}
        onRetry={() => void result.refetch()}
        skeleton={<RowsToCome />}
        isEmpty={() => pages.items.length === 0 && !result.loading}
        empty={filter.isFiltered ? <NoneSuch onClear={filter.clear} /> : <None />}
      >
        {() => <Rows runs={pages.items} />}
      </QueryState>
      {goesOn.map(({ id, status, cursor }) => (
        <FollowRun key={id} id={id} status={status} cursor={cursor} />
      ))}
      <LoadMore
        pages={{
          ...pages,
          loadMore: () => {
            setLong(true);
            pages.loadMore();
          },
        }}
      />
    </Page>
  );
}

function Rows({ runs }: { readonly runs: readonly Parameters<typeof RunRow>[0]["run"][] }) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  return (
    <Stack gap="xs">
      <Group justify="space-between" gap="xs" mih={30}>
        <Text size="sm" c="dimmed" role="status">
          {chosen.length === 0 ? t.compareHint : t.chosen(chosen.length)}
        </Text>
        {chosen.length > 0 && (
          <Button
            size="xs"
            leftSection={<IconArrowsDiff size={16} />}
            disabled={chosen.length < 2}
            onClick={() => {
              navigate(`/runs/compare?one=${chosen[0] ?? ""}&other=${chosen[1] ?? ""}`);
            }}
          >
            {t.compare}
          </Button>
        )}
      </Group>
      <Paper withBorder radius="lg" component="ul" className={classes["list"]} aria-label={t.list}>
        {runs.map((run) => (
          <RunRow
            key={run.id}
            run={run}
            aside={
              <Choose
                prompt={run.prompt}
                isChosen={chosen.includes(run.id)}
                isDisabled={chosen.length === 2 && !chosen.includes(run.id)}
                onChange={(isChosen) => {
                  setChosen((before) => (isChosen ? [...before, run.id] : before.filter((id) => id !== run.id)));
                }}
              />
            }
          />
        ))}
      </Paper>
    </Stack>
  );
}

function Attention() {
  const t = useMessages(messages);
  const [mayOperate, mayResolve] = [usePermission("run:operate"), usePermission("toolcall:resolve")];
  if (!mayOperate && !mayResolve) return null;
  return (
    <Button component={Link} href="/runs/attention" variant="default" leftSection={<IconTool size={16} />}>
      {t.attention}
    </Button>
  );
}

function None() {
  const t = useMessages(messages);
  const mayAsk = usePermission("run:start");
  return (
    <EmptyState
      icon={<IconListDetails size={28} />}
      title={t.none}
      text={t.noneText}
      action={
        mayAsk && (
          <Button component={Link} href="/ask">
            {t.ask}
          </Button>
        )
      }
    />
  );
}

function NoneSuch({ onClear }: { readonly onClear: () => void }) {
  const t = useMessages(messages);
  return (
    <EmptyState
      icon={<IconSearch size={28} />}
      title={t.noneSuch}
      text={t.noneSuchText}
      action={
        <Button variant="default" onClick={onClear}>
          {t.clear}
        </Button>
      }
    />
  );
}

function RowsToCome() {
  return (
    <Paper withBorder radius="lg" p="md" aria-hidden>
      <Stack gap="lg">
        {Array.from({ length: 6 }, (_, index) => (
          <Stack key={index} gap={6}>
            <Skeleton height={18} width={`${70 - index * 6}%`} />
            <Skeleton height={12} width="30%" />
          </Stack>
        ))}
      </Stack>
    </Paper>
  );
}
