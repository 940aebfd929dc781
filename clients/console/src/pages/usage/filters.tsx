import { Group, NativeSelect, SegmentedControl, Text, TextInput } from "@mantine/core";
import type { UsageGranularity } from "@sba/client";
import { useId, useState, type ReactNode } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { messages } from "./messages.ts";
import type { Split } from "./series.ts";
import { dayOf, granularitiesOf, PRESETS, spanOf, spanOfDays, type Preset, type Span } from "./span.ts";

const DAY_MS = 86_400_000;

export interface Asked {
  readonly preset: Preset;
  readonly span: Span;
  readonly granularity: UsageGranularity;
  readonly split: Split;
}

export function firstAsked(): Asked {
  return { preset: "month", span: spanOf("month", new Date()), granularity: "DAY", split: "meter" };
}

interface FiltersProps {
  readonly asked: Asked;
  readonly onAsk: (asked: Asked) => void;
}

/** Which window, in what periods, by what. A window that is too long for hours is split by days. */
export function Filters({ asked, onAsk }: FiltersProps) {
  const t = useMessages(messages);
  const offered = granularitiesOf(asked.span);
  const askSpan = (preset: Preset, span: Span) => {
    const fitting = granularitiesOf(span);
    const granularity = fitting.includes(asked.granularity) ? asked.granularity : (fitting[0] ?? "MONTH");
    onAsk({ ...asked, preset, span, granularity: preset === "day" ? "HOUR" : granularity });
  };
  return (
    <Group gap="md" align="flex-end">
      <NativeSelect
        label={t.window}
        value={asked.preset}
        data={PRESETS.map((value) => ({ value, label: t[value] }))}
        onChange={({ currentTarget }) => {
          const preset = PRESETS.find((each) => each === currentTarget.value) ?? "month";
          askSpan(preset, preset === "own" ? asked.span : spanOf(preset, new Date()));
        }}
      />
      {asked.preset === "own" && (
        <OwnDates
          span={asked.span}
          onChange={(span) => {
            askSpan("own", span);
          }}
        />
      )}
      <Choice
        label={t.granularity}
        value={asked.granularity}
        data={offered.map((value) => ({ value, label: t[value] }))}
        onChange={(granularity) => {
          onAsk({ ...asked, granularity });
        }}
      />
      <Choice<Split>
        label={t.split}
        value={asked.split}
        data={[
          { value: "meter", label: t.meter },
          { value: "agent", label: t.agent },
        ]}
        onChange={(split) => {
          onAsk({ ...asked, split });
        }}
      />
    </Group>
  );
}

function OwnDates({ span, onChange }: { readonly span: Span; readonly onChange: (span: Span) => void }) {
  const t = useMessages(messages);
  const [first, setFirst] = useState(dayOf(span.from));
  const [last, setLast] = useState(dayOf(new Date(span.to.getTime() - DAY_MS)));
  const isWrong = spanOfDays(first, last) === undefined;
  const change = (from: string, to: string) => {
    setFirst(from);
    setLast(to);
    const own = spanOfDays(from, to);
    if (own) onChange(own);
  };
  return (
    <>
      <TextInput
        type="date"
        label={t.from}
        value={first}
        onChange={({ currentTarget }) => {
          change(currentTarget.value, last);
        }}
      />
      <TextInput
        type="date"
        label={t.to}
        value={last}
        error={isWrong ? t.wrongDates : undefined}
        onChange={({ currentTarget }) => {
          change(first, currentTarget.value);
        }}
      />
    </>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly data: readonly { readonly value: T; readonly label: string }[];
  readonly onChange: (value: T) => void;
}

export function Choice<T extends string>({ label, value, data, onChange }: ChoiceProps<T>): ReactNode {
  const id = useId();
  return (
    <div>
      <Text id={id} size="sm" fw={500} mb={2}>
        {label}
      </Text>
      <SegmentedControl<T> aria-labelledby={id} value={value} data={[...data]} onChange={onChange} />
    </div>
  );
}
