import { Button, Group, LoadingOverlay, Box, Stack } from "@mantine/core";
import { usageCsv } from "@sba/client";
import { useState } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconChartBar, IconDownload, IconRefresh } from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { Lines, QueryState } from "../../parts/query-state.tsx";
import { Allowed } from "../../session/permission.tsx";
import { Budgets } from "./budgets.tsx";
import { downloadText } from "./download.ts";
import { Filters, firstAsked } from "./filters.tsx";
import { messages } from "./messages.ts";
import { OverTime } from "./over-time.tsx";
import { dayOf } from "./span.ts";
import { Tools } from "./tools.tsx";
import { Totals } from "./totals.tsx";
import { useUsage } from "./use-usage.ts";

/** What was used and what it cost in a window of time, what may be spent, and how tools did. */
export default function UsagePage() {
  const t = useMessages(messages);
  const [asked, setAsked] = useState(firstAsked);
  const { span, granularity, split } = asked;
  const { report, isLoading, error, reload } = useUsage(span, granularity, split);
  const download = () => {
    const name = `usage-${dayOf(span.from)}-${dayOf(new Date(span.to.getTime() - 1))}.csv`;
    downloadText(name, usageCsv(report?.rows ?? []), "text/csv");
  };
  return (
    <Page
      title={t.title}
      description={t.description}
      actions={
        <Group gap="xs">
          <Button variant="default" leftSection={<IconRefresh size={16} />} onClick={reload}>
            {t.refresh}
          </Button>
          <Button
            variant="default"
            leftSection={<IconDownload size={16} />}
            disabled={isLoading || !report || report.rows.length === 0}
            onClick={download}
          >
            {t.download}
          </Button>
        </Group>
      }
    >
      <Filters asked={asked} onAsk={setAsked} />
      <Box pos="relative" aria-busy={isLoading}>
        <LoadingOverlay visible={isLoading && report !== undefined} overlayProps={{ radius: "lg" }} />
        <QueryState
          data={report}
          error={error}
          onRetry={reload}
          skeleton={<Lines count={8} height={40} />}
          isEmpty={({ rows }) => rows.length === 0}
          empty={<EmptyState icon={<IconChartBar size={28} />} title={t.none} text={t.noneText} />}
        >
          {(usage) => (
            <Stack gap="lg">
              <Totals totals={usage.totals} />
              <OverTime report={usage} asked={asked} />
            </Stack>
          )}
        </QueryState>
      </Box>
      <Allowed to="budget:read">
        <Budgets />
      </Allowed>
      <Allowed to="integration:read">
        <Tools span={span} />
      </Allowed>
    </Page>
  );
}
