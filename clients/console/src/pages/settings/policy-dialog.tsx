import { Checkbox, MultiSelect, NativeSelect, NumberInput, TextInput } from "@mantine/core";
import { decimalOf, microsOf } from "@sba/client";
import { useAgentsQuery, useSetApprovalPolicyMutation, useToolsQuery } from "@sba/client/react";
import { useState } from "react";
import { useSettingsMembersQuery } from "../../generated/settings/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { useNotify } from "../../parts/error-notice.tsx";
import { FormDialog } from "../../parts/form-dialog.tsx";
import { usePermission } from "../../session/permission.tsx";
import { messages, roleName } from "./messages.ts";
import type { Policy } from "./policies.tsx";
import { DECIDING_ROLES, isRoleKey } from "./roles.ts";

interface Draft {
  readonly tool: string;
  /** Empty for every agent. */
  readonly agentKey: string;
  /** Keys of roles and ids of principals. */
  readonly approvers: readonly string[];
  readonly quorum: number;
  readonly allowRequester: boolean;
  /** Empty for never. */
  readonly minutes: number | "";
  /** Empty for every call. */
  readonly threshold: string;
}

function draftOf(policy: Policy | undefined): Draft {
  if (!policy)
    return {
      ...{ tool: "", agentKey: "", approvers: [], quorum: 1 },
      ...{ allowRequester: false, minutes: "", threshold: "" },
    };
  const { tool, agentKey, approvers, quorum, allowRequester, expiresAfterSeconds, thresholdMicros } = policy;
  return {
    ...{ tool, agentKey: agentKey ?? "", quorum, allowRequester },
    approvers: approvers.map(({ role, user }) => user?.id ?? role?.key ?? ""),
    minutes: expiresAfterSeconds === null ? "" : Math.ceil(expiresAfterSeconds / 60),
    threshold: thresholdMicros === null ? "" : decimalOf(thresholdMicros).replace(/\.?0+$/, ""),
  };
}

/** As the API takes it; undefined when the threshold is no amount. */
function inputOf({ tool, agentKey, approvers, quorum, allowRequester, minutes, threshold }: Draft) {
  const thresholdMicros = threshold.trim() === "" ? null : microsOf(threshold);
  if (thresholdMicros === undefined || tool === "") return undefined;
  const [roles, ids] = [approvers.filter(isRoleKey), approvers.filter((each) => !isRoleKey(each))];
  return {
    ...{ tool, quorum, allowRequester, thresholdMicros },
    agentKey: agentKey === "" ? null : agentKey,
    approverRoles: roles.length > 0 ? roles : null,
    approverIds: ids.length > 0 ? ids : null,
    expiresAfterSeconds: minutes === "" ? null : minutes * 60,
  };
}

interface PolicyDialogProps {
  /** Undefined for a new one. Its tool and agent stay: for others it is another policy. */
  readonly policy: Policy | undefined;
  readonly onClose: () => void;
}

export function PolicyDialog({ policy, onClose }: PolicyDialogProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [draft, setDraft] = useState(() => draftOf(policy));
  const [isTried, setTried] = useState(false);
  const change = (part: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...part }));
  };
  const [save, { loading, error }] = useSetApprovalPolicyMutation({
    refetchQueries: ["SettingsPolicies"],
    awaitRefetchQueries: true,
  });
  const submit = async (): Promise<void> => {
    setTried(true);
    const input = inputOf(draft);
    if (!input) return;
    const saved = await save({ variables: { input } }).catch(() => undefined);
    if (!saved?.data) return;
    notify.success(t.policySaved);
    onClose();
  };
  return (
    <FormDialog
      title={policy ? t.change : t.setPolicy}
      action={t.save}
      cancel={t.cancel}
      isBusy={loading}
      error={error}
      onSubmit={submit}
      onClose={onClose}
    >
      <WhatFor draft={draft} isNew={!policy} isTried={isTried} change={change} />
      <Approvers draft={draft} change={change} />
      <TextInput
        label={t.threshold}
        description={t.thresholdText}
        inputMode="decimal"
        value={draft.threshold}
        error={draft.threshold.trim() !== "" && microsOf(draft.threshold) === undefined ? t.wrongAmount : undefined}
        onChange={({ currentTarget }) => {
          change({ threshold: currentTarget.value });
        }}
      />
      <NumberInput
        label={t.expiry}
        description={t.expiryText}
        min={1}
        max={527_040}
        allowDecimal={false}
        value={draft.minutes}
        onChange={(minutes) => {
          change({ minutes: typeof minutes === "number" ? minutes : "" });
        }}
      />
    </FormDialog>
  );
}

interface FieldsProps {
  readonly draft: Draft;
  readonly change: (part: Partial<Draft>) => void;
}

/** The tools and agents that there are, for who may read them; otherwise as they are named. */
function WhatFor({
  draft,
  isNew,
  isTried,
  change,
}: FieldsProps & { readonly isNew: boolean; readonly isTried: boolean }) {
  const t = useMessages(messages);
  const skip = !usePermission("agent:read");
  const tools = useToolsQuery({ skip }).data?.tools.map(({ name }) => name) ?? [];
  const agents = useAgentsQuery({ skip }).data?.agents.edges.map(({ node }) => node) ?? [];
  const named = (known: readonly string[], value: string) =>
    value === "" || known.includes(value) ? known : [...known, value];
  return (
    <>
      <NativeSelect
        label={t.tool}
        value={draft.tool}
        disabled={!isNew}
        data={[{ value: "", label: t.chooseTool }, ...named(tools, draft.tool)]}
        error={isTried && draft.tool === "" ? t.chooseTool : undefined}
        onChange={({ currentTarget }) => {
          change({ tool: currentTarget.value });
        }}
      />
      <NativeSelect
        label={t.agent}
        value={draft.agentKey}
        disabled={!isNew}
        data={[
          { value: "", label: t.everyAgent },
          ...named(
            agents.map(({ key }) => key),
            draft.agentKey,
          ),
        ]}
        onChange={({ currentTarget }) => {
          change({ agentKey: currentTarget.value });
        }}
      />
    </>
  );
}

function Approvers({ draft, change }: FieldsProps) {
  const t = useMessages(messages);
  const { data } = useSettingsMembersQuery({ variables: { first: 100 }, skip: !usePermission("member:read") });
  const people = data?.members.edges.flatMap(({ node }) => (node.principal ? [node.principal] : [])) ?? [];
  return (
    <>
      <MultiSelect
        label={t.approvers}
        description={t.approversText}
        data={[
          { group: t.roles, items: DECIDING_ROLES.map((value) => ({ value, label: roleName(value, t) })) },
          { group: t.people, items: people.map(({ id, displayName }) => ({ value: id, label: displayName })) },
        ]}
        searchable
        clearable
        clearButtonProps={{ "aria-label": t.clear }}
        value={[...draft.approvers]}
        onChange={(approvers) => {
          change({ approvers });
        }}
      />
      <NumberInput
        label={t.quorum}
        min={1}
        max={100}
        allowDecimal={false}
        value={draft.quorum}
        onChange={(quorum) => {
          change({ quorum: typeof quorum === "number" ? quorum : 1 });
        }}
      />
      <Checkbox
        label={t.allowRequester}
        checked={draft.allowRequester}
        onChange={({ currentTarget }) => {
          change({ allowRequester: currentTarget.checked });
        }}
      />
    </>
  );
}
