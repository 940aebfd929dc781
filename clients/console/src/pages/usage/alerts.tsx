import { Alert, Stack, Text } from "@mantine/core";
import type { UsageAlertsSubscription } from "@sba/client";
import { useUsageAlertsLive } from "@sba/client/react";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconAlertTriangle } from "../../parts/icons.ts";
import { messages, scopeOf } from "./messages.ts";

type UsageAlert = UsageAlertsSubscription["usageAlerts"];
const MOST = 3;

/** The alerts of this month, live, newest first. */
export function Alerts() {
  const t = useMessages(messages);
  const { data = [] } = useUsageAlertsLive();
  const thisMonth = new Date().toISOString().slice(0, 7);
  const alerts = data.map(({ usageAlerts }) => usageAlerts).filter(({ periodStart }) => periodStart >= thisMonth);
  const newest = alerts.toReversed();
  if (newest.length === 0) return null;
  return (
    <Stack gap="xs" role="log" aria-label={t.budgets}>
      {newest.slice(0, MOST).map((alert) => (
        <OneAlert key={alert.cursor} alert={alert} />
      ))}
      {newest.length > MOST && (
        <Text size="sm" c="dimmed">
          {t.earlier(newest.length - MOST)}
        </Text>
      )}
    </Stack>
  );
}

function OneAlert({ alert: { percent, budget, spent, limit, at } }: { readonly alert: UsageAlert }) {
  const t = useMessages(messages);
  const format = useFormat();
  const scope = budget === null ? t.removedBudget : scopeOf(budget.scope, t);
  return (
    <Alert
      color={percent >= 100 ? "red" : "yellow"}
      variant="light"
      icon={<IconAlertTriangle size={18} />}
      title={t.alertTitle(percent)}
    >
      {t.alertText(scope, format.money(spent), format.money(limit))} · {format.relative(at)}
    </Alert>
  );
}
