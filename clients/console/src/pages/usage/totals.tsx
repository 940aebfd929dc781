import { Paper, SimpleGrid, Text } from "@mantine/core";
import type { UsageReport } from "@sba/client";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { meterTexts } from "../../i18n/meters.ts";
import { messages } from "./messages.ts";

/** What each meter comes to in the window, as the API adds it up. */
export function Totals({ totals }: Pick<UsageReport, "totals">) {
  const t = useMessages(messages);
  const { meterName } = useMessages(meterTexts);
  const format = useFormat();
  const currency = totals[0]?.cost.currency ?? "USD";
  const sum = totals.reduce((all, { cost }) => all + BigInt(cost.amountMicros), 0n);
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} spacing="sm" component="section" aria-label={t.totals}>
      <Tile label={t.total} value={format.money({ amountMicros: String(sum), currency })} />
      {totals.map(({ meter, quantity, cost }) => (
        <Tile key={meter} label={meterName(meter)} value={format.quantity(quantity)} note={format.money(cost)} />
      ))}
    </SimpleGrid>
  );
}

function Tile({ label, value, note }: { readonly label: string; readonly value: string; readonly note?: string }) {
  return (
    <Paper withBorder radius="lg" p="md">
      <Text size="xs" c="dimmed" fw={500}>
        {label}
      </Text>
      <Text size="xl" fw={650} truncate>
        {value}
      </Text>
      {note !== undefined && (
        <Text size="xs" c="dimmed">
          {note}
        </Text>
      )}
    </Paper>
  );
}
