import { Table } from "@mantine/core";
import { useUsageToolsQuery } from "../../generated/usage/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { DataTable } from "../../parts/data-table.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconChartBar } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { messages } from "./messages.ts";
import type { Span } from "./span.ts";

const MOST_MS = 92 * 86_400_000;

/** How often each tool was called in the window, how it went, and how long it took. */
export function Tools({ span: { from, to } }: { readonly span: Span }) {
  const t = useMessages(messages);
  const format = useFormat();
  const isCut = to.getTime() - from.getTime() > MOST_MS;
  const first = isCut ? new Date(to.getTime() - MOST_MS) : from;
  const result = useUsageToolsQuery({ variables: { from: first.toISOString(), to: to.toISOString() } });
  const data = result.data ?? result.previousData;
  const duration = (ms: number | null) => (ms === null ? "–" : format.duration(ms));
  return (
    <Section title={t.tools} description={isCut ? t.toolsCut : t.toolsText}>
      <QueryState
        data={data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={({ toolStatistics }) => toolStatistics.length === 0}
        empty={<EmptyState icon={<IconChartBar size={28} />} title={t.noTools} text={t.noToolsText} />}
      >
        {({ toolStatistics }) => (
          <DataTable
            label={t.tools}
            minWidth={720}
            columns={[
              { label: t.tool },
              ...[t.calls, t.failures, t.pending, t.unknown, t.median, t.p95].map((label) => ({
                label,
                isNumber: true,
              })),
              { label: t.lastCalled },
            ]}
          >
            {toolStatistics.map((each) => (
              <Table.Tr key={each.tool}>
                <Table.Td>{each.tool}</Table.Td>
                <Table.Td ta="right">{format.quantity(each.calls)}</Table.Td>
                <Table.Td ta="right">
                  {format.quantity(each.failures)}
                  {each.failures > 0 && ` (${format.percent(each.failures / each.calls)})`}
                </Table.Td>
                <Table.Td ta="right">{format.quantity(each.pending)}</Table.Td>
                <Table.Td ta="right">{format.quantity(each.unknownOutcomes)}</Table.Td>
                <Table.Td ta="right">{duration(each.p50DurationMs)}</Table.Td>
                <Table.Td ta="right">{duration(each.p95DurationMs)}</Table.Td>
                <Table.Td>{format.relative(each.lastCalledAt)}</Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Section>
  );
}
