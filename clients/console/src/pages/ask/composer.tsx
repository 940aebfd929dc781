import { ActionIcon, Group, NativeSelect, Paper, Text, Textarea } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { IconSend2 } from "../../parts/icons.ts";
import { preloadMarkdown } from "../../parts/markdown/markdown.tsx";
import { useLate } from "../../parts/use-late.ts";
import classes from "./ask.module.css";
import { messages } from "./messages.ts";

interface ComposerProps {
  /** What it is that is written here; a question by default. */
  readonly label?: string;
  readonly placeholder: string;
  readonly onSend: (text: string) => void;
  readonly isSending?: boolean;
  readonly autoFocus?: boolean;
  /** Under the text, at its left: who is asked, or when it is heard. */
  readonly children?: ReactNode;
}

const WORTH_A_SPINNER_MS = 400;

/** Where a person writes. Enter sends, as in every chat; Shift + Enter is a new line. */
export function Composer({
  label,
  placeholder,
  onSend,
  isSending = false,
  autoFocus = false,
  children,
}: ComposerProps) {
  const t = useMessages(messages);
  const [text, setText] = useState("");
  const isEmpty = text.trim() === "";
  const isLate = useLate(isSending, WORTH_A_SPINNER_MS);
  const send = () => {
    if (isEmpty || isSending) return;
    onSend(text.trim());
    setText("");
  };
  return (
    <Paper
      component="form"
      withBorder
      radius="lg"
      p="sm"
      shadow="sm"
      className={classes["composer"]}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Textarea
        aria-label={label ?? t.question}
        placeholder={placeholder}
        variant="unstyled"
        autosize
        minRows={1}
        maxRows={10}
        maxLength={20_000}
        autoFocus={autoFocus}
        value={text}
        classNames={{ input: classes["input"] ?? "" }}
        onChange={({ currentTarget }) => {
          // An answer is about to come.
          preloadMarkdown();
          setText(currentTarget.value);
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <Group justify="space-between" gap="xs" mt={6} wrap="nowrap">
        <Group gap="xs" className={classes["grow"]}>
          {children}
        </Group>
        <Text size="xs" c="dimmed" visibleFrom="md">
          {t.hint}
        </Text>
        <ActionIcon type="submit" size={36} radius="md" aria-label={t.send} loading={isLate} disabled={isEmpty}>
          <IconSend2 size={18} />
        </ActionIcon>
      </Group>
    </Paper>
  );
}

interface AgentPickerProps {
  readonly agents: readonly { readonly key: string; readonly name: string }[];
  readonly value: string;
  readonly onChange: (key: string) => void;
}

export function AgentPicker({ agents, value, onChange }: AgentPickerProps) {
  const t = useMessages(messages);
  return (
    <NativeSelect
      aria-label={t.agent}
      size="xs"
      w={170}
      value={value}
      data={agents.map(({ key, name }) => ({ value: key, label: name }))}
      onChange={({ currentTarget }) => {
        onChange(currentTarget.value);
      }}
    />
  );
}

const MODES = ["STEER", "QUEUE", "INTERRUPT"] as const;
export type Mode = (typeof MODES)[number];

export function ModePicker({ value, onChange }: { readonly value: Mode; readonly onChange: (mode: Mode) => void }) {
  const t = useMessages(messages);
  return (
    <NativeSelect
      aria-label={t.mode}
      size="xs"
      w={190}
      value={value}
      data={MODES.map((mode) => ({ value: mode, label: t[mode] }))}
      onChange={({ currentTarget }) => {
        onChange(MODES.find((mode) => mode === currentTarget.value) ?? "STEER");
      }}
    />
  );
}
