import { Group, NativeSelect, Skeleton, Stack, Text } from "@mantine/core";
import type { UsageReport } from "@sba/client";
import { lazy, Suspense, useMemo, useState } from "react";
import { useFormat } from "../../i18n/format.ts";
import { useLocale } from "../../i18n/locale.ts";
import { useMessages } from "../../i18n/messages.ts";
import { meterTexts } from "../../i18n/meters.ts";
import { Section } from "../../parts/section.tsx";
import { Choice, type Asked } from "./filters.tsx";
import { messages } from "./messages.ts";
import { NO_AGENT, OTHERS, seriesOf, type Measure } from "./series.ts";
import { periodLabels, periodsOf } from "./span.ts";
import { UsageTable } from "./table.tsx";

// Of the chart library, that nobody else needs.
const UsageChart = lazy(() => import("./chart.tsx"));
const MICROS = 1_000_000;
const VIEWS = ["chart", "table"] as const;

/** The same as a picture and as a table. */
export function OverTime({ report, asked }: { readonly report: UsageReport; readonly asked: Asked }) {
  const t = useMessages(messages);
  const { meterName } = useMessages(meterTexts);
  const [view, setView] = useState<(typeof VIEWS)[number]>("chart");
  const [measure, setMeasure] = useState<Measure>("cost");
  const { locale } = useLocale();
  const periodOf = periodLabels(locale, asked.granularity);
  const meters = report.totals.map(({ meter }) => meter);
  const shown = measure === "cost" || meters.includes(measure) ? measure : "cost";
  return (
    <Section title={t.overTime} description={t.utc}>
      <Group justify="space-between" align="flex-end" gap="sm">
        {view === "chart" ? (
          <NativeSelect
            label={t.measure}
            value={shown}
            data={[{ value: "cost", label: t.cost }, ...meters.map((value) => ({ value, label: meterName(value) }))]}
            onChange={({ currentTarget }) => {
              setMeasure(currentTarget.value);
            }}
          />
        ) : (
          <div />
        )}
        <Choice
          label={t.view}
          value={view}
          data={VIEWS.map((value) => ({ value, label: t[value] }))}
          onChange={setView}
        />
      </Group>
      {view === "chart" ? (
        <Picture report={report} asked={asked} measure={shown} periodOf={periodOf} />
      ) : (
        <UsageTable report={report} split={asked.split} periodOf={periodOf} />
      )}
    </Section>
  );
}

interface PictureProps {
  readonly report: UsageReport;
  readonly asked: Asked;
  readonly measure: Measure;
  readonly periodOf: (start: string) => string;
}

function Picture({ report: { rows, totals }, asked: { span, granularity, split }, measure, periodOf }: PictureProps) {
  const t = useMessages(messages);
  const { meterName } = useMessages(meterTexts);
  const format = useFormat();
  const series = useMemo(
    () => seriesOf(rows, { split, measure, starts: periodsOf(span, granularity) }),
    [rows, split, measure, span, granularity],
  );
  const currency = totals[0]?.cost.currency ?? "USD";
  const valueOf = (value: number) =>
    measure === "cost"
      ? format.money({ amountMicros: String(Math.round(value * MICROS)), currency })
      : format.quantity(Math.round(value));
  const labelOf = (name: string) => {
    if (name === OTHERS) return t.others;
    if (split === "meter") return meterName(name);
    return name === NO_AGENT ? t.noAgent : name;
  };
  const measured = measure === "cost" ? t.cost : meterName(measure);
  return (
    <Stack gap="xs" mt="lg">
      <Suspense fallback={<Skeleton height={320} radius="md" />}>
        <UsageChart
          series={series}
          labelOf={labelOf}
          periodOf={periodOf}
          valueOf={valueOf}
          title={t.chartTitle(measured, split === "meter" ? t.meter : t.agent)}
        />
      </Suspense>
      <Text size="xs" c="dimmed">
        {t.keys}
      </Text>
    </Stack>
  );
}
