import { Button, Code, Group, Table, Text } from "@mantine/core";
import { useState } from "react";
import type { SettingsPoliciesQuery } from "../../generated/settings/graphql.ts";
import { useSettingsPoliciesQuery, useSettingsRemovePolicyMutation } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconPlus, IconShieldCheck } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { Allowed, usePermission } from "../../session/permission.tsx";
import { messages, roleName } from "./messages.ts";
import { PolicyDialog } from "./policy-dialog.tsx";

export type Policy = SettingsPoliciesQuery["approvalPolicies"][number];

/** Who must agree before a tool is called. */
export function Policies() {
  const t = useMessages(messages);
  const result = useSettingsPoliciesQuery({ fetchPolicy: "cache-and-network" });
  const mayManage = usePermission("approval:manage");
  const [edited, setEdited] = useState<Policy | "new">();
  const [removed, setRemoved] = useState<Policy>();
  return (
    <Section
      title={t.policies}
      description={t.policiesText}
      actions={
        <Allowed to="approval:manage">
          <Button
            size="sm"
            leftSection={<IconPlus size={16} />}
            onClick={() => {
              setEdited("new");
            }}
          >
            {t.setPolicy}
          </Button>
        </Allowed>
      }
    >
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={({ approvalPolicies }) => approvalPolicies.length === 0}
        empty={<EmptyState icon={<IconShieldCheck size={28} />} title={t.noPolicies} text={t.noPoliciesText} />}
      >
        {({ approvalPolicies }) => (
          <DataTable
            label={t.policies}
            minWidth={640}
            columns={[
              ...[t.tool, t.approvers, t.when].map((label) => ({ label })),
              ...(mayManage ? [{ label: t.actions, isHidden: true }] : []),
            ]}
          >
            {approvalPolicies.map((policy) => (
              <PolicyRow
                key={`${policy.tool} ${policy.agentKey ?? ""}`}
                policy={policy}
                onEdit={setEdited}
                onRemove={setRemoved}
              />
            ))}
          </DataTable>
        )}
      </QueryState>
      {edited !== undefined && (
        <PolicyDialog
          policy={edited === "new" ? undefined : edited}
          onClose={() => {
            setEdited(undefined);
          }}
        />
      )}
      {removed && (
        <Removal
          policy={removed}
          onClose={() => {
            setRemoved(undefined);
          }}
        />
      )}
    </Section>
  );
}

interface PolicyRowProps {
  readonly policy: Policy;
  readonly onEdit: (policy: Policy) => void;
  readonly onRemove: (policy: Policy) => void;
}

function PolicyRow({ policy, onEdit, onRemove }: PolicyRowProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { tool, agentKey, approvers, quorum, allowRequester, expiresAfterSeconds, thresholdMicros } = policy;
  const names = approvers.map(({ role, user }) => user?.displayName ?? roleName(role?.key ?? "", t));
  return (
    <Table.Tr>
      <Table.Td>
        <Code>{tool}</Code>
        <Text size="xs" c="dimmed">
          {agentKey === null ? t.everyAgent : t.ofAgent(agentKey)}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm">
          {t.quorumOf(quorum)}: {names.join(", ")}
        </Text>
        <Text size="xs" c="dimmed">
          {allowRequester ? t.requesterMay : t.requesterMayNot}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm">
          {thresholdMicros === null ? t.everyCall : t.above(format.money({ amountMicros: thresholdMicros }))}
        </Text>
        <Text size="xs" c="dimmed">
          {expiresAfterSeconds === null ? t.noExpiry : t.expiresIn(format.duration(expiresAfterSeconds * 1_000))}
        </Text>
      </Table.Td>
      <Allowed to="approval:manage">
        <Table.Td>
          <Group gap="xs" justify="flex-end" wrap="nowrap">
            <Button
              size="compact-sm"
              variant="subtle"
              aria-label={`${t.change}: ${tool} ${agentKey ?? ""}`}
              onClick={() => {
                onEdit(policy);
              }}
            >
              {t.change}
            </Button>
            <Button
              size="compact-sm"
              variant="subtle"
              color="red"
              aria-label={`${t.remove}: ${tool} ${agentKey ?? ""}`}
              onClick={() => {
                onRemove(policy);
              }}
            >
              {t.remove}
            </Button>
          </Group>
        </Table.Td>
      </Allowed>
    </Table.Tr>
  );
}

function Removal({ policy: { tool, agentKey }, onClose }: { readonly policy: Policy; readonly onClose: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [remove] = useSettingsRemovePolicyMutation({
    refetchQueries: ["SettingsPolicies"],
    awaitRefetchQueries: true,
  });
  return (
    <Confirm
      title={t.removePolicyTitle(tool)}
      text={t.removePolicyText}
      action={t.remove}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await remove({ variables: { tool, agentKey } });
        notify.success(t.policyRemoved);
      }}
    />
  );
}
