import { Alert, Code, Group, List, Stack, Text } from "@mantine/core";
import type { RunLive } from "@sba/client";
import { memo, type ReactNode } from "react";
import { messages as approvalMessages } from "../../../approval/messages.ts";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { CallStatus } from "../run/tool-calls.tsx";
import { RunStatusBadge } from "../status.tsx";
import { messages } from "./messages.ts";
import classes from "./replay.module.css";

/** What somebody who watched the run saw at that moment. */
export function ScreenView({ screen }: { readonly screen: RunLive }) {
  const t = useMessages(messages);
  const approvalTexts = useMessages(approvalMessages);
  const format = useFormat();
  const { run, steps, inputs, toolCalls, approvals, artifacts } = screen;
  const { status, cost, error } = run;
  const said = steps.filter(({ text }) => text !== "");
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <RunStatusBadge status={status} />
        <Text size="sm" c="dimmed">
          {t.cost}: {format.money(cost ?? { amountMicros: "0" })}
        </Text>
      </Group>
      <Calls toolCalls={toolCalls} />
      {inputs.length > 0 && (
        <Named title={t.said}>
          {inputs.map(({ text, at }, index) => (
            <Text key={`${at} ${index}`} className={classes["text"]}>
              {text}
            </Text>
          ))}
        </Named>
      )}
      {approvals.length > 0 && (
        <Named title={t.approvals}>
          <List size="sm">
            {approvals.map(({ id, action, status: approvalStatus }) => (
              <List.Item key={id}>
                {action}: {approvalTexts[approvalStatus]}
              </List.Item>
            ))}
          </List>
        </Named>
      )}
      {said.map(({ number, text }) => (
        <Named key={number} title={t.step(number)}>
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
      {said.length + toolCalls.length + approvals.length === 0 && !error && <Text c="dimmed">{t.blank}</Text>}
    </Stack>
  );
}

function Calls({ toolCalls }: Pick<RunLive, "toolCalls">) {
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
