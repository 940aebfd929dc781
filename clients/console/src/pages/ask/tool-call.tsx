import { Badge, Collapse, Group, Loader, Stack, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { RunLiveToolCall } from "@sba/client";
import { useId } from "react";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconCheck, IconChevronRight, IconQuestionMark, IconTool, IconX } from "../../parts/icons.ts";
import { JsonBlock } from "../../parts/json-block.tsx";
import classes from "./ask.module.css";
import { messages } from "./messages.ts";

interface ToolCallProps {
  readonly call: RunLiveToolCall;
  /** What has no outcome yet is being done. */
  readonly isUnderWay: boolean;
}

/** One line of what the agent does; opened, with what. */
export function ToolCall({ call, isUnderWay }: ToolCallProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const [isOpen, { toggle }] = useDisclosure(false);
  const id = useId();
  return (
    <Stack gap="xs">
      <div className={classes["tool"]}>
        <UnstyledButton className={classes["toolLine"]} onClick={toggle} aria-expanded={isOpen} aria-controls={id}>
          <IconTool size={16} aria-hidden />
          <Text size="sm" fw={500} className={classes["grow"]} truncate>
            {call.name}
            <Text span size="sm" c="dimmed" ml={8}>
              {summaryOf(call.params)}
            </Text>
          </Text>
          {call.durationMs !== null && (
            <Text size="xs" c="dimmed">
              {format.duration(call.durationMs)}
            </Text>
          )}
          <Outcome call={call} isUnderWay={isUnderWay} />
          <IconChevronRight size={14} className={classes["chevron"]} data-open={isOpen} aria-hidden />
        </UnstyledButton>
        <Collapse expanded={isOpen} id={id}>
          <Text size="xs" c="dimmed" mt="xs" mb={4} aria-hidden>
            {t.params}
          </Text>
          <JsonBlock label={t.params} value={call.params} />
        </Collapse>
      </div>
      {call.status === "UNKNOWN" && (
        <Text size="sm" role="status">
          {t.unknownOutcome}
        </Text>
      )}
    </Stack>
  );
}

function Outcome({ call, isUnderWay }: { readonly call: RunLiveToolCall; readonly isUnderWay: boolean }) {
  const t = useMessages(messages);
  if (call.success === true)
    return (
      <Group gap={4} c="var(--mantine-color-teal-light-color)">
        <IconCheck size={16} role="img" aria-label={t.toolDone} />
      </Group>
    );
  if (call.success === false)
    return (
      <Badge color="red" variant="light" size="sm" tt="none" leftSection={<IconX size={12} aria-hidden />}>
        {t.toolFailed}
      </Badge>
    );
  if (call.status === "UNKNOWN") return <IconQuestionMark size={16} aria-hidden />;
  return isUnderWay ? <Loader size={14} role="img" aria-label={t.toolRunning} /> : null;
}

/** The first text among its params: mostly what it is about. */
function summaryOf(params: unknown): string {
  if (typeof params !== "object" || params === null) return "";
  const text = Object.values(params).find((value): value is string => typeof value === "string");
  return text?.split("\n", 1)[0]?.slice(0, 120) ?? "";
}
