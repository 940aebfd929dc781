import { Accordion, Badge, Code, Group, Stack, Text } from "@mantine/core";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import type { RunsToolCallFragment } from "../../../generated/runs/graphql.ts";
import { usePermission } from "../../../session/permission.tsx";
import classes from "../runs.module.css";
import { messages } from "./messages.ts";
import { ResolveCall } from "./resolve-call.tsx";
import type { RunDetail } from "./detail.ts";
import { JsonBlock } from "../../../parts/json-block.tsx";
import { Section } from "../../../parts/section.tsx";

/** Each call of a tool: with what, and what came back. */
export function ToolCalls({ run: { steps } }: { readonly run: RunDetail }) {
  const t = useMessages(messages);
  const calls = steps.edges.flatMap(({ node }) =>
    node.toolCall ? [{ number: node.number, call: node.toolCall }] : [],
  );
  if (calls.length === 0) return null;
  const unknown = calls.filter(({ call }) => call.status === "UNKNOWN").map(({ call }) => call.id);
  return (
    <Section title={t.calls} isFlush>
      <Accordion
        key={unknown.join()}
        multiple
        defaultValue={unknown}
        chevronPosition="left"
        className={classes["calls"]}
      >
        {calls.map(({ number, call }) => (
          <Accordion.Item key={call.id} value={call.id}>
            <Accordion.Control>
              <CallTitle number={number} call={call} />
            </Accordion.Control>
            <Accordion.Panel>
              <ToolCallBody call={call} />
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
    </Section>
  );
}

function CallTitle({ number, call }: { readonly number: number; readonly call: RunsToolCallFragment }) {
  const format = useFormat();
  return (
    <Group justify="space-between" gap="xs" pr="sm">
      <Text fw={550} className={classes["prompt"]}>
        {number}. {call.name}
      </Text>
      <Group gap="sm" wrap="nowrap">
        {call.durationMs !== null && (
          <Text size="sm" c="dimmed" className={classes["figure"]}>
            {format.duration(call.durationMs)}
          </Text>
        )}
        <CallStatus call={call} />
      </Group>
    </Group>
  );
}

const COLOURS: Readonly<Record<string, string>> = { SUCCEEDED: "teal", FAILED: "red", UNKNOWN: "orange" };

export function CallStatus({ call: { status } }: { readonly call: Pick<RunsToolCallFragment, "status"> }) {
  const t = useMessages(messages);
  const labels: Readonly<Record<string, string>> = {
    REQUESTED: t.REQUESTED,
    SUCCEEDED: t.SUCCEEDED,
    FAILED: t.CALL_FAILED,
    UNKNOWN: t.UNKNOWN,
  };
  return (
    <Badge variant="dot" color={COLOURS[status] ?? "gray"} tt="none" fw={600}>
      {labels[status] ?? status}
    </Badge>
  );
}

/** With what it was called and what it answered; where nobody knows, what an operator says of it. */
export function ToolCallBody({ call }: { readonly call: RunsToolCallFragment }) {
  const t = useMessages(messages);
  const mayResolve = usePermission("toolcall:resolve");
  return (
    <Stack gap="sm">
      {call.status === "UNKNOWN" && (mayResolve ? <ResolveCall call={call} /> : <Text size="sm">{t.unknownWho}</Text>)}
      <Json label={t.params} value={call.params} />
      {call.failure ? (
        <Text size="sm">
          {call.failure.message} <Code>{call.failure.code}</Code>
        </Text>
      ) : (
        <Json label={t.result} value={call.result} otherwise={t.noResult} />
      )}
    </Stack>
  );
}

interface JsonProps {
  readonly label: string;
  readonly value: unknown;
  readonly otherwise?: string;
}

function Json({ label, value, otherwise }: JsonProps) {
  const isNone = value === null || value === undefined;
  return (
    <div>
      <Text size="sm" c="dimmed" mb={4}>
        {label}
      </Text>
      {isNone && otherwise !== undefined ? (
        <Text size="sm">{otherwise}</Text>
      ) : (
        <JsonBlock label={label} value={value} />
      )}
    </div>
  );
}
