import { Accordion, Alert, Anchor, Button, Code, Group, Modal, Paper, Stack, Text, Textarea } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { WorkflowRunLive } from "@sba/client";
import { useWorkflowRunLive } from "@sba/client/react";
import { useState, type ReactNode } from "react";
import { Link } from "wouter";
import { useWorkflowsCancelMutation, useWorkflowsRunQuery } from "../../generated/workflows/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconAlertTriangle, IconPlayerStop } from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { BackLink, Section } from "../../parts/section.tsx";
import { usePermission } from "../../session/permission.tsx";
import { TimelineChart } from "../../timeline/chart.tsx";
import { messages } from "./messages.ts";
import { ENDED, WorkflowStatusBadge } from "./status.tsx";
import { timelineOf } from "./timeline.ts";
import classes from "./workflows.module.css";

/** One run of a workflow, live while it goes on. */
export default function WorkflowRunPage({ workflowRunId }: { readonly workflowRunId: string }) {
  const t = useMessages(messages);
  const { data, error, reload } = useWorkflowRunLive(workflowRunId);
  const mayCancel = usePermission("workflow:start");
  return (
    <>
      <BackLink href="/workflows">{t.back}</BackLink>
      <Page
        title={data?.workflow?.name ?? "…"}
        actions={
          mayCancel &&
          data &&
          !ENDED.has(data.status) &&
          data.status !== "CANCELLING" && <CancelButton workflowRunId={workflowRunId} />
        }
      >
        <QueryState data={data} error={error} onRetry={reload}>
          {(run) => (
            <Stack gap="lg">
              <Facts run={run} />
              <Section title={t.timeline}>
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
    </>
  );
}

function Facts({
  run: { status, error, createdAt, startedAt, endedAt, startedBy },
}: {
  readonly run: WorkflowRunLive;
}) {
  const t = useMessages(messages);
  const format = useFormat();
  const begunMs = Date.parse(startedAt ?? createdAt);
  return (
    <>
      {error && (
        <Alert color="red" variant="light" icon={<IconAlertTriangle size={20} />} title={t.failed}>
          {error.message} <Code>{error.code}</Code>
        </Alert>
      )}
      <Paper withBorder radius="lg" p="lg" component="section" aria-label={t.facts}>
        <dl className={classes["dl"]}>
          <Fact label={t.status}>
            <WorkflowStatusBadge status={status} />
          </Fact>
          <Fact label={t.duration}>
            {endedAt === null
              ? t.soFar(format.duration(Date.now() - begunMs))
              : format.duration(Date.parse(endedAt) - begunMs)}
          </Fact>
          <Fact label={t.startedAt}>{format.dateTime(createdAt)}</Fact>
          {startedBy && <Fact label={t.startedBy}>{startedBy.displayName}</Fact>}
        </dl>
      </Paper>
    </>
  );
}

function Fact({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    <div>
      <Text component="dt" size="sm" c="dimmed">
        {label}
      </Text>
      <Text component="dd" m={0} fw={500}>
        {children}
      </Text>
    </div>
  );
}

/** What it was started with. */
function Given({ id }: { readonly id: string }) {
  const t = useMessages(messages);
  const { data, error, refetch } = useWorkflowsRunQuery({ variables: { id } });
  return (
    <Section title={t.input}>
      <QueryState data={data} error={error} onRetry={() => void refetch()}>
        {({ workflowRun }) => <Json label={t.input} value={workflowRun.input} />}
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
      {!error && (output === null ? <Text size="sm">{t.noOutput}</Text> : <Json label={t.output} value={output} />)}
    </Stack>
  );
}

function Json({ label, value }: { readonly label: string; readonly value: unknown }) {
  return (
    <Code block className={classes["json"]} tabIndex={0} role="region" aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </Code>
  );
}

function CancelButton({ workflowRunId }: { readonly workflowRunId: string }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [isAsking, { open, close }] = useDisclosure(false);
  const [reason, setReason] = useState("");
  const [cancel, { loading }] = useWorkflowsCancelMutation();
  const stop = async (): Promise<void> => {
    await cancel({ variables: { workflowRunId, ...(reason === "" ? {} : { reason }) } });
    close();
    notify.success(t.cancelled);
  };
  return (
    <>
      <Button color="red" variant="light" leftSection={<IconPlayerStop size={16} />} onClick={open}>
        {t.cancel}
      </Button>
      <Modal opened={isAsking} onClose={close} title={t.cancelTitle} centered withCloseButton={false}>
        <Stack>
          <Text>{t.cancelText}</Text>
          <Textarea
            label={t.reason}
            value={reason}
            maxLength={1_000}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.keep}
            </Button>
            <Button
              color="red.8"
              loading={loading}
              onClick={() => {
                stop().catch(notify.error);
              }}
            >
              {t.cancel}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
