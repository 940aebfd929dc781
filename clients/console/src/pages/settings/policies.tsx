import { Code, Table, Text } from "@mantine/core";
import type { SettingsPoliciesQuery } from "../../generated/settings/graphql.ts";
import { useSettingsPoliciesQuery, useSettingsRemovePolicyMutation } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconShieldCheck } from "../../parts/icons.ts";
import { usePermission } from "../../session/permission.tsx";
import { ManagedList } from "./managed-list.tsx";
import { messages, roleName } from "./messages.ts";
import { PolicyDialog } from "./policy-dialog.tsx";

export type Policy = SettingsPoliciesQuery["approvalPolicies"][number];

/** Who must agree before a tool is called. */
export function Policies() {
  const t = useMessages(messages);
  const result = useSettingsPoliciesQuery({ fetchPolicy: "cache-and-network" });
  const [remove] = useSettingsRemovePolicyMutation({
    refetchQueries: ["SettingsPolicies"],
    awaitRefetchQueries: true,
  });
  return (
    <ManagedList
      title={t.policies}
      description={t.policiesText}
      result={result}
      items={result.data?.approvalPolicies ?? []}
      empty={{ icon: <IconShieldCheck size={28} />, title: t.noPolicies, text: t.noPoliciesText }}
      columns={[t.tool, t.approvers, t.when]}
      minWidth={640}
      row={(policy) => {
        const name = [policy.tool, policy.agentKey ?? ""].join(" ").trim();
        return { key: name, name, cells: <Cells policy={policy} /> };
      }}
      mayManage={usePermission("approval:manage")}
      create={t.setPolicy}
      canChange
      dialog={({ item, onClose }) => <PolicyDialog policy={item} onClose={onClose} />}
      removal={{
        action: t.remove,
        title: ({ tool }) => t.removePolicyTitle(tool),
        text: t.removePolicyText,
        done: () => t.policyRemoved,
        remove: ({ tool, agentKey }) => remove({ variables: { tool, agentKey } }),
      }}
    />
  );
}

function Cells({ policy }: { readonly policy: Policy }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { tool, agentKey, approvers, quorum, allowRequester, expiresAfterSeconds, thresholdMicros } = policy;
  const names = approvers.map(({ role, user }) => user?.displayName ?? roleName(role?.key ?? "", t));
  return (
    <>
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
    </>
  );
}
