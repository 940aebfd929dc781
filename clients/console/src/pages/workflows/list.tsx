import { Group, Paper, Select, Text, Title } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { usePages } from "../../data/use-pages.ts";
import type { WorkflowsRowFragment, WorkflowsRunsQueryVariables } from "../../generated/workflows/graphql.ts";
import { useWorkflowsListQuery, useWorkflowsRunsQuery } from "../../generated/workflows/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconRoute, IconSearch } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { Allowed } from "../../session/permission.tsx";
import { messages } from "./messages.ts";
import { Start, type Workflow } from "./start.tsx";
import { STATUSES, WorkflowStatusBadge, type Status } from "./status.tsx";
import classes from "./workflows.module.css";

/** New runs, and what becomes of those that are there, are asked for: there is no stream of all of them. */
const ASK_EVERY_MS = 5_000;

export function WorkflowList() {
  const t = useMessages(messages);
  const result = useWorkflowsListQuery();
  const pages = usePages(result, ({ workflows }) => workflows);
  return (
    <Page title={t.title} description={t.description}>
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0}
        empty={<EmptyState icon={<IconRoute size={28} />} title={t.none} text={t.noneText} />}
      >
        {() => (
          <section aria-label={t.definitions} className={classes["cards"]}>
            {pages.items.map((workflow) => (
              <WorkflowCard key={workflow.id} workflow={workflow} />
            ))}
          </section>
        )}
      </QueryState>
      <LoadMore pages={pages} />
      <Runs workflows={pages.items} />
    </Page>
  );
}

function WorkflowCard({ workflow }: { readonly workflow: Workflow }) {
  const t = useMessages(messages);
  const { name, key, version } = workflow;
  return (
    <Paper withBorder radius="lg" p="lg" className={classes["card"]} data-workflow={key}>
      <Group justify="space-between" align="flex-start" gap="sm" wrap="nowrap">
        <div className={classes["grow"]}>
          <Title order={2} size="h4" className={classes["break"]}>
            {name}
          </Title>
          <Text size="sm" c="dimmed">
            {key} · {t.version(version.number)}
          </Text>
        </div>
        <Allowed to="workflow:start">
          <Start workflow={workflow} />
        </Allowed>
      </Group>
      <ol className={classes["steps"]} aria-label={t.steps}>
        {version.steps.map((step) => (
          <li key={step.key}>
            <Text span size="sm" fw={550}>
              {step.key}
            </Text>{" "}
            <Text span size="sm" c="dimmed">
              {step.kind}
            </Text>
          </li>
        ))}
      </ol>
    </Paper>
  );
}

function Runs({ workflows }: { readonly workflows: readonly Workflow[] }) {
  const t = useMessages(messages);
  const [status, setStatus] = useState<Status | null>(null);
  const [key, setKey] = useState<string | null>(null);
  const [isLong, setLong] = useState(false);
  const filter: NonNullable<WorkflowsRunsQueryVariables["filter"]> = {
    ...(status === null ? {} : { status: [status] }),
    ...(key === null ? {} : { workflowKey: key }),
  };
  const result = useWorkflowsRunsQuery({
    variables: { filter },
    fetchPolicy: "cache-and-network",
    pollInterval: isLong ? 0 : ASK_EVERY_MS,
    skipPollAttempt: () => document.hidden,
  });
  const pages = usePages(result, ({ workflowRuns }) => workflowRuns);
  const isFiltered = status !== null || key !== null;
  const nothing = isFiltered
    ? { title: t.noneSuch, text: t.noneSuchText }
    : { title: t.runsNone, text: t.runsNoneText };
  const more = () => {
    setLong(true);
    pages.loadMore();
  };
  return (
    <Section title={t.runs} isFlush>
      <Group gap="sm" px="lg" pb="md">
        <Select
          label={t.workflow}
          placeholder={t.anyWorkflow}
          data={workflows.map((each) => ({ value: each.key, label: each.name }))}
          value={key}
          onChange={setKey}
          {...APPEARANCE}
        />
        <Select
          label={t.status}
          placeholder={t.anyStatus}
          data={STATUSES.map((value) => ({ value, label: t[value] }))}
          value={status}
          onChange={(value) => {
            setStatus(STATUSES.find((each) => each === value) ?? null);
          }}
          {...APPEARANCE}
        />
      </Group>
      <QueryState
        data={result.data ?? result.previousData}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0 && !result.loading}
        empty={<EmptyState icon={<IconSearch size={28} />} {...nothing} />}
      >
        {() => (
          <ul className={classes["list"]} aria-label={t.runs}>
            {pages.items.map((run) => (
              <RunRow key={run.id} run={run} />
            ))}
          </ul>
        )}
      </QueryState>
      <LoadMore pages={{ ...pages, loadMore: more }} />
    </Section>
  );
}

const APPEARANCE = { clearable: true, size: "sm", w: 200, comboboxProps: { shadow: "md" } } as const;

function RunRow({ run }: { readonly run: WorkflowsRowFragment }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { id, workflow, startedBy, createdAt, startedAt, endedAt, error, status } = run;
  return (
    <li className={classes["row"]}>
      <div className={classes["grow"]}>
        <Link href={`/workflows/${id}`} className={classes["link"]}>
          {workflow?.name ?? id}
        </Link>
        <Text size="sm" c="dimmed" lineClamp={1}>
          {startedBy && t.by(startedBy.displayName)}
          {error && ` · ${error.code}`}
        </Text>
      </div>
      <Group gap="md" wrap="nowrap" className={classes["facts"]}>
        <Text size="sm" c="dimmed">
          {endedAt !== null && format.duration(Date.parse(endedAt) - Date.parse(startedAt ?? createdAt))}
        </Text>
        <Text size="sm" c="dimmed" title={format.dateTime(createdAt)}>
          {format.relative(createdAt)}
        </Text>
        <WorkflowStatusBadge status={status} />
      </Group>
    </li>
  );
}
