import { Button, Group, Paper, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import type { BudgetsQuery } from "@sba/client";
import { useBudgetsQuery } from "@sba/client/react";
import { useState } from "react";
import { useUsageRemoveBudgetMutation } from "../../generated/usage/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconChartBar, IconPlus } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { Allowed } from "../../session/permission.tsx";
import { Alerts } from "./alerts.tsx";
import { BudgetDialog } from "./budget-dialog.tsx";
import { messages, scopeOf, type Texts } from "./messages.ts";

export type Budget = BudgetsQuery["budgets"][number];

/** What may be spent, with what is reserved, spent and left of it now; for who may, setting and removing it. */
export function Budgets() {
  const t = useMessages(messages);
  const result = useBudgetsQuery({ fetchPolicy: "cache-and-network" });
  const [edited, setEdited] = useState<Budget | "new">();
  const [removed, setRemoved] = useState<Budget>();
  return (
    <Section
      title={t.budgets}
      description={t.budgetsText}
      actions={
        <Allowed to="budget:write">
          <Button
            size="sm"
            leftSection={<IconPlus size={16} />}
            onClick={() => {
              setEdited("new");
            }}
          >
            {t.setBudget}
          </Button>
        </Allowed>
      }
    >
      <Alerts />
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={({ budgets }) => budgets.length === 0}
        empty={<EmptyState icon={<IconChartBar size={28} />} title={t.noBudgets} text={t.noBudgetsText} />}
      >
        {({ budgets }) => (
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm">
            {budgets.map((budget) => (
              <BudgetCard key={budget.id} budget={budget} onEdit={setEdited} onRemove={setRemoved} />
            ))}
          </SimpleGrid>
        )}
      </QueryState>
      {edited !== undefined && (
        <BudgetDialog
          budget={edited === "new" ? undefined : edited}
          onClose={() => {
            setEdited(undefined);
          }}
        />
      )}
      {removed && (
        <Removal
          budget={removed}
          onClose={() => {
            setRemoved(undefined);
          }}
        />
      )}
    </Section>
  );
}

interface BudgetCardProps {
  readonly budget: Budget;
  readonly onEdit: (budget: Budget) => void;
  readonly onRemove: (budget: Budget) => void;
}

function BudgetCard({ budget, onEdit, onRemove }: BudgetCardProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { limit } = budget;
  const name = scopeOf(budget.scope, t);
  return (
    <Paper withBorder radius="md" p="md" component="article" aria-label={name} data-budget>
      <Stack gap="xs">
        <Group justify="space-between" gap="xs">
          <Text fw={600}>{name}</Text>
          <Text size="sm">
            {format.money(limit)} {periodOf(budget, t)}
          </Text>
        </Group>
        {budget.period !== "RUN" && <Standing budget={budget} />}
        <Allowed to="budget:write">
          <Group gap="xs" justify="flex-end">
            <Button
              size="compact-sm"
              variant="subtle"
              aria-label={`${t.editBudget}: ${name}`}
              onClick={() => {
                onEdit(budget);
              }}
            >
              {t.editBudget}
            </Button>
            <Button
              size="compact-sm"
              variant="subtle"
              color="red"
              aria-label={`${t.removeBudget}: ${name}`}
              onClick={() => {
                onRemove(budget);
              }}
            >
              {t.removeBudget}
            </Button>
          </Group>
        </Allowed>
      </Stack>
    </Paper>
  );
}

function periodOf({ period }: Budget, t: Texts): string {
  return { DAY: t.perDay, MONTH: t.perMonth, RUN: t.perRun }[period];
}

function Standing({ budget: { limit, spent, reserved, remaining } }: { readonly budget: Budget }) {
  const t = useMessages(messages);
  const format = useFormat();
  const money = (amountMicros: string) => format.money({ amountMicros, currency: limit.currency });
  const share = (amountMicros: string) =>
    limit.amountMicros === "0" ? 0 : Math.min(100, (Number(amountMicros) / Number(limit.amountMicros)) * 100);
  const parts = [
    { label: t.spent, micros: spent.amountMicros, color: "brand.6" },
    { label: t.reserved, micros: reserved.amountMicros, color: "yellow.6" },
  ];
  return (
    <>
      <Progress.Root size="lg" radius="xl">
        {parts.map(({ label, micros, color }) => (
          <Progress.Section key={label} value={share(micros)} color={color} aria-label={`${label} ${money(micros)}`} />
        ))}
      </Progress.Root>
      <Group gap="lg">
        {[...parts, { label: t.left, micros: remaining.amountMicros }].map(({ label, micros }) => (
          <div key={label}>
            <Text size="xs" c="dimmed">
              {label}
            </Text>
            <Text size="sm" fw={500}>
              {money(micros)}
            </Text>
          </div>
        ))}
      </Group>
    </>
  );
}

function Removal({ budget, onClose }: { readonly budget: Budget; readonly onClose: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [remove] = useUsageRemoveBudgetMutation({ refetchQueries: ["Budgets"], awaitRefetchQueries: true });
  return (
    <Confirm
      title={t.removeTitle}
      text={`${scopeOf(budget.scope, t)}. ${t.removeText}`}
      action={t.removeBudget}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await remove({ variables: { budgetId: budget.id } });
        notify.success(t.budgetRemoved);
      }}
    />
  );
}
