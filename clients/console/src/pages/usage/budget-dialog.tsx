import { Autocomplete, NativeSelect, TextInput } from "@mantine/core";
import { decimalOf, microsOf, type BudgetPeriod, type BudgetScope } from "@sba/client";
import { useAgentsQuery, useSetBudgetMutation } from "@sba/client/react";
import { useState } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { useNotify } from "../../parts/error-notice.tsx";
import { FormDialog } from "../../parts/form-dialog.tsx";
import { usePermission } from "../../session/permission.tsx";
import type { Budget } from "./budgets.tsx";
import { messages } from "./messages.ts";

const SCOPES = ["TENANT", "AGENT", "RUN"] as const satisfies readonly BudgetScope[];
const CURRENCY = "USD";

interface BudgetDialogProps {
  /** Undefined for a new one. Its scope and period stay: another scope is another budget. */
  readonly budget: Budget | undefined;
  readonly onClose: () => void;
}

export function BudgetDialog({ budget, onClose }: BudgetDialogProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [kind, setKind] = useState<BudgetScope>(budget?.scope.kind ?? "TENANT");
  const [agentKey, setAgentKey] = useState(budget?.scope.kind === "AGENT" ? (budget.scope.id ?? "") : "");
  const [period, setPeriod] = useState<BudgetPeriod>(budget?.period ?? "MONTH");
  const [limit, setLimit] = useState(budget ? decimalOf(budget.limit.amountMicros).replace(/\.?0+$/, "") : "");
  const [isTried, setTried] = useState(false);
  const [save, { loading, error }] = useSetBudgetMutation({ refetchQueries: ["Budgets"], awaitRefetchQueries: true });
  const limitMicros = microsOf(limit);
  const needsAgent = kind === "AGENT" && agentKey.trim() === "";
  const isNew = budget === undefined;
  const submit = async (): Promise<void> => {
    setTried(true);
    if (limitMicros === undefined || needsAgent) return;
    const scopeId = kind === "AGENT" ? agentKey.trim() : kind === "RUN" ? (budget?.scope.id ?? null) : null;
    const input = { scope: kind, scopeId, period: kind === "RUN" ? ("RUN" as const) : period, limitMicros };
    const { data } = await save({ variables: { input } }).catch(() => ({ data: undefined }));
    if (!data) return;
    notify.success(t.budgetSaved);
    onClose();
  };
  return (
    <FormDialog
      title={isNew ? t.setBudget : t.editBudget}
      action={t.save}
      cancel={t.cancel}
      isBusy={loading}
      error={error}
      onSubmit={submit}
      onClose={onClose}
    >
      <NativeSelect
        label={t.scope}
        value={kind}
        disabled={!isNew}
        data={SCOPES.map((value) => ({ value, label: t[value] }))}
        onChange={({ currentTarget }) => {
          setKind(SCOPES.find((each) => each === currentTarget.value) ?? "TENANT");
        }}
      />
      {kind === "AGENT" && (
        <AgentField
          value={agentKey}
          isFixed={!isNew}
          error={isTried && needsAgent ? t.needsAgent : undefined}
          onChange={setAgentKey}
        />
      )}
      {kind !== "RUN" && (
        <NativeSelect
          label={t.periodOf}
          value={period}
          disabled={!isNew}
          data={[
            { value: "DAY", label: t.DAY },
            { value: "MONTH", label: t.MONTH },
          ]}
          onChange={({ currentTarget }) => {
            setPeriod(currentTarget.value === "DAY" ? "DAY" : "MONTH");
          }}
        />
      )}
      <TextInput
        label={t.limit(CURRENCY)}
        description={t.limitText}
        inputMode="decimal"
        data-autofocus
        value={limit}
        error={isTried && limitMicros === undefined ? t.wrongLimit : undefined}
        onChange={({ currentTarget }) => {
          setLimit(currentTarget.value);
        }}
      />
    </FormDialog>
  );
}

interface AgentFieldProps {
  readonly value: string;
  readonly isFixed: boolean;
  readonly error: string | undefined;
  readonly onChange: (key: string) => void;
}

/** One of the agents, for who may read them; otherwise its key. */
function AgentField({ value, isFixed, error, onChange }: AgentFieldProps) {
  const t = useMessages(messages);
  const { data } = useAgentsQuery({ skip: !usePermission("agent:read") });
  return (
    <Autocomplete
      label={t.agentKey}
      data={data?.agents.edges.map(({ node }) => node.key) ?? []}
      value={value}
      disabled={isFixed}
      error={error}
      onChange={onChange}
    />
  );
}
