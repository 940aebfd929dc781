import { Accordion, Alert, Anchor, Code, Group, Stack, Text } from "@mantine/core";
import type { WorkflowRunLive } from "@sba/client";
import { useWorkflowRunLive } from "@sba/client/react";
import { Link } from "wouter";
import { isEnded } from "../../data/is-ended.ts";
import { useWorkflowsCancelMutation, useWorkflowsRunQuery } from "../../generated/workflows/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Fact, FactList } from "../../parts/facts.tsx";
import { IconAlertTriangle } from "../../parts/icons.ts";
import { JsonBlock } from "../../parts/json-block.tsx";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { StopButton } from "../../parts/stop-button.tsx";
import { useNow } from "../../parts/use-now.ts";
import { usePermission } from "../../session/permission.tsx";
import { TimelineChart } from "../../timeline/chart.tsx";
import { messages } from "./messages.ts";
import { WorkflowStatusBadge } from "./status.tsx";
import { timelineOf } from "./timeline.ts";
import classes from "./workflows.module.css";

/** One run of a workflow, live while it goes on. */
export default function WorkflowRunPage({ workflowRunId }: { readonly workflowRunId: string }) {
  const t = useMessages(messages);
  const { data, error, reload } = useWorkflowRunLive(workflowRunId);
  const mayCancel = usePermission("workflow:start");
  const back = { href: "/workflows", label: t.back };
  return (
    <Page
      back={back}
      title={data?.workflow?.name ?? t.runTitle}
      actions={
        mayCancel &&
        data &&
        !isEnded(data.status) &&
        data.status !== "CANCELLING" && <CancelButton workflowRunId={workflowRunId} />
      }
    >
      <QueryState data={data} error={error} onRetry={reload} back={back}>
        {(run) => (
          <Stack gap="lg">
            <Facts run={run} />
            <Section title={t.timeline} description={t.timelineText}>
              {run.steps.length === 0 ? (
                <Text c="dimmed">{t.timelineNone}</Text>
              ) : (
                <TimelineChart timeline={timelineOf(run)} currency={undefined} />
              )}
            </Section>
            <Given id={workflowRunId} />
            <Steps run={run} />
          </Stack>
        )}
      </QueryState>
    </Page>
  );
}

function Facts({
  run: { status, error, createdAt, startedAt, endedAt, startedBy },
}: {
  readonly run: WorkflowRunLive;
}) {
  const t = useMessages(messages);
  const format = useFormat();
  const now = useNow(endedAt === null);
  const begunMs = Date.parse(startedAt ?? createdAt);
  return (
    <>
      {error && (
        <Alert color="red" variant="light" icon={<IconAlertTriangle size={20} />} title={t.failed}>
          {error.message} <Code>{error.code}</Code>
        </Alert>
      )}
      <FactList label={t.facts}>
        <Fact label={t.status}>
          <WorkflowStatusBadge status={status} />
        </Fact>
        <Fact label={t.duration}>
          {endedAt === null
            ? t.soFar(format.duration(Math.max(0, now.getTime() - begunMs)))
            : format.duration(Date.parse(endedAt) - begunMs)}
        </Fact>
        <Fact label={t.startedAt}>{format.dateTime(createdAt)}</Fact>
        {startedBy && <Fact label={t.startedBy}>{startedBy.displayName}</Fact>}
      </FactList>
    </>
  );
}

/** What it was started with. */
function Given({ id }: { readonly id: string }) {
  const t = useMessages(messages);
  const { data, error, refetch } = useWorkflowsRunQuery({ variables: { id } });
  return (
    <Section title={t.input}>
      <QueryState data={data} error={error} onRetry={() => void refetch()}>
        {({ workflowRun }) => <JsonBlock label={t.input} value={workflowRun.input} />}
      </QueryState>
    </Section>
  );
}

function Steps({ run: { steps } }: { readonly run: WorkflowRunLive }) {
  const t = useMessages(messages);
  if (steps.length === 0) return null;
  return (
    <Section title={t.details} isFlush>
      <Accordion multiple defaultValue={[]} chevronPosition="left" className={classes["accordion"]}>
        {steps.map((step) => (
          <Accordion.Item key={step.key} value={step.key}>
            <Accordion.Control>
              <Group justify="space-between" gap="xs" pr="sm">
                <Text fw={550}>
                  {step.number}. {step.key}{" "}
                  <Text span size="sm" c="dimmed">
                    {step.kind}
                  </Text>
                </Text>
                <WorkflowStatusBadge status={step.status} />
              </Group>
            </Accordion.Control>
            <Accordion.Panel>
              <StepBody step={step} />
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
    </Section>
  );
}

function StepBody({ step: { error, output, run, approval } }: { readonly step: WorkflowRunLive["steps"][number] }) {
  const t = useMessages(messages);
  return (
    <Stack gap="sm" align="stretch">
      {error && (
        <Text size="sm">
          {error.message} <Code>{error.code}</Code>
        </Text>
      )}
      {run && (
        <Anchor component={Link} href={`/runs/${run.id}`} size="sm">
          {t.toRun}
        </Anchor>
      )}
      {approval?.status === "PENDING" && (
        <Anchor component={Link} href="/inbox" size="sm">
          {t.toInbox}
        </Anchor>
      )}
      {!error &&
        (output === null ? <Text size="sm">{t.noOutput}</Text> : <JsonBlock label={t.output} value={output} />)}
    </Stack>
  );
}

function CancelButton({ workflowRunId }: { readonly workflowRunId: string }) {
  const t = useMessages(messages);
  const [cancel, { loading }] = useWorkflowsCancelMutation();
  return (
    <StopButton
      text={t.cancelText}
      done={t.cancelled}
      isBusy={loading}
      onStop={(given) => cancel({ variables: { workflowRunId, ...given } })}
    />
  );
}
