import "@mantine/charts/styles.css";
import { BarChart } from "@mantine/charts";
import type { Series } from "./series.ts";

const COLOURS = ["brand.6", "teal.6", "orange.6", "grape.6", "cyan.7", "pink.6", "lime.7", "gray.6"];

interface UsageChartProps {
  readonly series: Series;
  readonly labelOf: (name: string) => string;
  readonly periodOf: (start: string) => string;
  readonly valueOf: (value: number) => string;
  /** What it shows, in a sentence, for who hears it read. */
  readonly title: string;
}

/** Bars, one on another, of what was used in each period. Its arrow keys go from period to period. */
export default function UsageChart({ series, labelOf, periodOf, valueOf, title }: UsageChartProps) {
  const data = series.points.map((point, index) => ({
    period: periodOf(series.starts[index] ?? ""),
    // Names may be anything; what the chart looks up by is not.
    ...Object.fromEntries(series.names.map((name, place) => [keyOf(place), point[name] ?? 0])),
  }));
  return (
    <BarChart
      h={320}
      data={data}
      dataKey="period"
      type="stacked"
      series={series.names.map((name, index) => ({
        name: keyOf(index),
        label: labelOf(name),
        color: COLOURS[index % COLOURS.length] ?? "gray.6",
      }))}
      withLegend
      legendProps={{ verticalAlign: "bottom" }}
      tooltipAnimationDuration={0}
      valueFormatter={valueOf}
      yAxisProps={{ width: 72 }}
      xAxisProps={{ minTickGap: 24 }}
      barProps={{ isAnimationActive: false, maxBarSize: 48 }}
      barChartProps={{ accessibilityLayer: true, title }}
    />
  );
}

function keyOf(place: number): string {
  return `series${place}`;
}
