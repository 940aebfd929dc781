import { Alert, Code, Group, List, Stack, Text } from "@mantine/core";
import { memo, type ReactNode } from "react";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { CallStatus } from "../run/tool-calls.tsx";
import { RunStatusBadge } from "../status.tsx";
import { messages } from "./messages.ts";
import classes from "./replay.module.css";
import type { Screen } from "./screen.ts";

/** What somebody who watched the run saw at that moment. */
export function ScreenView({ screen }: { readonly screen: Screen }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { status, texts, inputs, toolCalls, approvals, artifacts, costMicros, currency, error } = screen;
  const cost = format.money({ amountMicros: String(costMicros), ...(currency === undefined ? {} : { currency }) });
  return (
    <Stack gap="md">
      <Group justify="space-between">
        {status === undefined ? <span /> : <RunStatusBadge status={status} />}
        <Text size="sm" c="dimmed">
          {t.cost}: {cost}
        </Text>
      </Group>
      <Calls toolCalls={toolCalls} />
      {inputs.length > 0 && (
        <Named title={t.said}>
          {inputs.map((input, index) => (
            <Text key={index} className={classes["text"]}>
              {input}
            </Text>
          ))}
        </Named>
      )}
      {approvals.length > 0 && (
        <Named title={t.approvals}>
          <List size="sm">
            {approvals.map(({ id, action, status: approvalStatus }) => (
              <List.Item key={id}>
                {action}: {approvalStatus.toLowerCase()}
              </List.Item>
            ))}
          </List>
        </Named>
      )}
      {texts.map(({ stepNumber, text }) => (
        <Named key={stepNumber} title={t.step(stepNumber)}>
          <LongText text={text} />
        </Named>
      ))}
      {artifacts.length > 0 && (
        <Named title={t.files}>
          <List size="sm">
            {artifacts.map(({ id, name, sizeBytes }) => (
              <List.Item key={id}>
                {name} ({format.bytes(sizeBytes)})
              </List.Item>
            ))}
          </List>
        </Named>
      )}
      {error && (
        <Alert color="red" variant="light">
          {error.message} <Code>{error.code}</Code>
        </Alert>
      )}
      {texts.length + toolCalls.length + approvals.length === 0 && !error && <Text c="dimmed">{t.blank}</Text>}
    </Stack>
  );
}

function Calls({ toolCalls }: Pick<Screen, "toolCalls">) {
  if (toolCalls.length === 0) return null;
  return (
    <Stack gap={6}>
      {toolCalls.map((call) => (
        <Group key={call.id} gap="sm" justify="space-between" className={classes["call"]}>
          <Text size="sm" fw={550}>
            {call.name}
          </Text>
          <CallStatus call={call} />
        </Group>
      ))}
    </Stack>
  );
}

function Named({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <div>
      <Text size="sm" c="dimmed" mb={4}>
        {title}
      </Text>
      {children}
    </div>
  );
}

/** In pieces that stay as they are while text is added at the end: only the last is laid out anew. */
function LongText({ text }: { readonly text: string }) {
  return piecesOf(text).map((piece, index) => <Piece key={index} text={piece} />);
}

const Piece = memo(function Piece({ text }: { readonly text: string }) {
  return <div className={classes["piece"]}>{text}</div>;
});

const PIECE = 1_500;
const LONGEST_PIECE = 6_000;

/** Cut after a line; where there is none for long, after a word. */
function piecesOf(text: string): readonly string[] {
  const pieces: string[] = [];
  let from = 0;
  while (from < text.length) {
    const line = text.indexOf("\n", from + PIECE);
    const isNear = line !== -1 && line - from <= LONGEST_PIECE;
    const word = text.indexOf(" ", from + LONGEST_PIECE);
    const to = isNear ? line : word === -1 || text.length - from <= LONGEST_PIECE ? text.length : word;
    pieces.push(text.slice(from, to));
    from = to + 1;
  }
  return pieces;
}
