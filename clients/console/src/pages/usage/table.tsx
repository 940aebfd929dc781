import { Button, Center, Stack, Table } from "@mantine/core";
import type { UsageReport, UsageRow } from "@sba/client";
import { useState } from "react";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { meterTexts } from "../../i18n/meters.ts";
import { DataTable } from "../../parts/data-table.tsx";
import { messages } from "./messages.ts";
import type { Split } from "./series.ts";

const PAGE = 100;

interface UsageTableProps {
  readonly report: UsageReport;
  readonly split: Split;
  readonly periodOf: (start: string) => string;
}

/** The rows as they are metered, newest first, and their sums. */
export function UsageTable({ report: { rows, totals }, split, periodOf }: UsageTableProps) {
  const t = useMessages(messages);
  const { meterName } = useMessages(meterTexts);
  const format = useFormat();
  const [shown, setShown] = useState(PAGE);
  const hasAgents = split === "agent";
  const newest = rows.toReversed();
  return (
    <Stack gap="sm">
      <DataTable
        label={t.title}
        columns={[
          { label: t.period },
          ...(hasAgents ? [{ label: t.agent }] : []),
          { label: t.meter },
          { label: t.quantity, isNumber: true },
          { label: t.cost, isNumber: true },
        ]}
        foot={totals.map(({ meter, quantity, cost }) => (
          <Table.Tr key={meter} fw={600}>
            <Table.Th scope="row" role="rowheader">
              {t.totals}
            </Table.Th>
            {hasAgents && <Table.Td />}
            <Table.Td>{meterName(meter)}</Table.Td>
            <Table.Td ta="right">{format.quantity(quantity)}</Table.Td>
            <Table.Td ta="right" data-micros={cost.amountMicros}>
              {format.money(cost)}
            </Table.Td>
          </Table.Tr>
        ))}
      >
        {newest.slice(0, shown).map((row) => (
          <Table.Tr key={keyOf(row)}>
            <Table.Td>{periodOf(row.periodStart)}</Table.Td>
            {hasAgents && <Table.Td>{row.agentKey ?? t.noAgent}</Table.Td>}
            <Table.Td>{meterName(row.meter)}</Table.Td>
            <Table.Td ta="right">{format.quantity(row.quantity)}</Table.Td>
            <Table.Td ta="right" data-micros={row.cost.amountMicros}>
              {format.money(row.cost)}
            </Table.Td>
          </Table.Tr>
        ))}
      </DataTable>
      {rows.length > shown && (
        <Center>
          <Button
            variant="default"
            onClick={() => {
              setShown(shown + PAGE);
            }}
          >
            {t.moreRows(Math.min(PAGE, rows.length - shown))}
          </Button>
        </Center>
      )}
    </Stack>
  );
}

function keyOf({ periodStart, meter, agentKey }: UsageRow): string {
  return `${periodStart} ${meter} ${agentKey ?? ""}`;
}
