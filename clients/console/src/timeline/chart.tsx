import { Button, Group, Stack, Table, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useState } from "react";
import { useFormat, type Format } from "../i18n/format.ts";
import { useMessages } from "../i18n/messages.ts";
import { DataTable } from "../parts/data-table.tsx";
import { useNow } from "../parts/use-now.ts";
import classes from "./chart.module.css";
import { messages } from "./messages.ts";
import { ticksOf, type Bar, type Timeline } from "./bars.ts";

/** The steps of a run as bars over time; the same as a table for those who read better than they see. */

const ROW = 34;
const AXIS = 26;
const MIN_BAR = 3;
/** Room for the names of steps, where there is room. */
const NAMES = { wide: 190, narrow: 0 } as const;
const NARROW = 560;
const RIGHT = 12;

interface ChartProps {
  readonly timeline: Timeline;
  readonly currency: string | undefined;
}

export function TimelineChart({ timeline, currency }: ChartProps) {
  const t = useMessages(messages);
  const [isTable, setTable] = useState(false);
  const now = useNow(timeline.endMs === undefined);
  const endMs = Math.max(
    timeline.endMs ?? now.getTime(),
    timeline.startMs + 1,
    ...timeline.bars.map(({ endMs: end }) => end ?? 0),
  );
  return (
    <Stack gap="sm">
      <Group justify="space-between" gap="xs">
        <Legend bars={timeline.bars} />
        <Button
          size="compact-sm"
          variant="subtle"
          aria-pressed={isTable}
          onClick={() => {
            setTable((before) => !before);
          }}
        >
          {isTable ? t.asPicture : t.asTable}
        </Button>
      </Group>
      {isTable ? (
        <BarTable timeline={timeline} endMs={endMs} currency={currency} />
      ) : (
        <Picture timeline={timeline} endMs={endMs} currency={currency} />
      )}
    </Stack>
  );
}

interface DrawnProps extends ChartProps {
  readonly endMs: number;
}

function Picture({ timeline: { bars, startMs }, endMs, currency }: DrawnProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { ref, width } = useElementSize();
  const isNarrow = width < NARROW;
  const left = isNarrow ? NAMES.narrow : NAMES.wide;
  const rowHeight = isNarrow ? ROW + 16 : ROW;
  const lengthMs = endMs - startMs;
  const scale = Math.max(width - left - RIGHT, 1) / lengthMs;
  const height = bars.length * rowHeight + AXIS;
  return (
    <div ref={ref} className={classes["picture"]}>
      {width > 0 && (
        <svg width={width} height={height} role="img" aria-label={t.picture(bars.length, format.duration(lengthMs))}>
          {ticksOf(lengthMs, isNarrow ? 3 : 6).map((ms) => (
            <g key={ms} transform={`translate(${left + ms * scale}, 0)`}>
              <line y2={height - AXIS + 4} className={classes["grid"]} />
              <text y={height - 6} className={classes["tick"]} textAnchor={ms === 0 ? "start" : "middle"}>
                {format.duration(ms)}
              </text>
            </g>
          ))}
          {bars.map((bar, index) => (
            <Row
              key={bar.id}
              {...{ bar, y: index * rowHeight, left, width, isNarrow, endMs, currency }}
              x={left + Math.max(bar.startMs - startMs, 0) * scale}
              length={Math.max(((bar.endMs ?? endMs) - bar.startMs) * scale, MIN_BAR)}
            />
          ))}
        </svg>
      )}
    </div>
  );
}

interface RowProps {
  readonly bar: Bar;
  readonly x: number;
  readonly y: number;
  readonly length: number;
  readonly left: number;
  readonly width: number;
  readonly isNarrow: boolean;
  readonly endMs: number;
  readonly currency: string | undefined;
}

function Row({ bar, x, y, length, left, width, isNarrow, endMs, currency }: RowProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const label = nameOf(bar, t);
  const facts = factsOf(bar, endMs, currency, format, t);
  const barY = isNarrow ? y + 22 : y + 7;
  // Beside the bar where there is room, else before it.
  const fitsAfter = x + length + 8 + facts.length * 6.8 < width;
  return (
    <g>
      <title>{`${label}: ${facts}`}</title>
      {isNarrow ? (
        <text x={0} y={y + 15} className={classes["name"]}>
          {label}
        </text>
      ) : (
        <text x={0} y={y + 21} className={classes["name"]}>
          {label.length > 25 ? `${label.slice(0, 24)}…` : label}
        </text>
      )}
      <rect
        x={Math.min(x, width - RIGHT - MIN_BAR)}
        y={barY}
        width={length}
        height={20}
        rx={4}
        className={classes["bar"]}
        data-kind={bar.kind}
        data-outcome={bar.outcome}
      />
      <text
        x={fitsAfter ? x + length + 8 : Math.max(x - 8, left)}
        y={barY + 14}
        textAnchor={fitsAfter ? "start" : "end"}
        className={classes["facts"]}
        visibility={fitsAfter || x - 8 - facts.length * 6.8 > left ? "visible" : "hidden"}
      >
        {facts}
      </text>
    </g>
  );
}

function BarTable({ timeline: { bars, startMs }, endMs, currency }: DrawnProps) {
  const t = useMessages(messages);
  const format = useFormat();
  return (
    <DataTable
      label={t.asTable}
      columns={[t.step, t.kind, t.from, t.duration, t.cost, t.outcome].map((label) => ({ label }))}
    >
      {bars.map((bar) => (
        <Table.Tr key={bar.id}>
          <Table.Td>{nameOf(bar, t)}</Table.Td>
          <Table.Td>{t[bar.kind]}</Table.Td>
          <Table.Td>+{format.duration(Math.max(bar.startMs - startMs, 0))}</Table.Td>
          <Table.Td>{format.duration((bar.endMs ?? endMs) - bar.startMs)}</Table.Td>
          <Table.Td>{moneyOf(bar, currency, format)}</Table.Td>
          <Table.Td>{t[bar.outcome]}</Table.Td>
        </Table.Tr>
      ))}
    </DataTable>
  );
}

function Legend({ bars }: { readonly bars: readonly Bar[] }) {
  const t = useMessages(messages);
  const kinds = [...new Set(bars.map(({ kind }) => kind))];
  return (
    <Group gap="md">
      {kinds.map((kind) => (
        <Group key={kind} gap={6}>
          <span className={classes["swatch"]} data-kind={kind} aria-hidden />
          <Text size="sm" c="dimmed">
            {t[kind]}
          </Text>
        </Group>
      ))}
    </Group>
  );
}

type Texts = ReturnType<typeof useMessages<(typeof messages)["en"]>>;

function nameOf({ kind, name, stepNumber }: Bar, t: Texts): string {
  const what = name ?? t[kind];
  return stepNumber === undefined ? t.approvalOf(what) : `${stepNumber}. ${what}`;
}

function factsOf(bar: Bar, endMs: number, currency: string | undefined, format: Format, t: Texts): string {
  const facts = [format.duration((bar.endMs ?? endMs) - bar.startMs), moneyOf(bar, currency, format)];
  if (bar.restarts > 0) facts.push(t.restarts(bar.restarts));
  if (bar.outcome === "failed") facts.push(t.failed);
  return facts.filter((fact) => fact !== "").join(" · ");
}

function moneyOf({ costMicros }: Bar, currency: string | undefined, format: Format): string {
  if (costMicros === 0n) return "";
  return format.money({ amountMicros: String(costMicros), ...(currency === undefined ? {} : { currency }) });
}
