import { Alert, Button, Group, Progress, Stack, Text, Textarea } from "@mantine/core";
import { useResumeTenantMutation, useSuspendTenantMutation } from "@sba/client/react";
import { useState } from "react";
import type { SettingsTenantQuery, WhenFull } from "../../generated/settings/graphql.ts";
import { useSettingsSetQuotaPolicyMutation, useSettingsTenantQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { Allowed, useMe, usePermission } from "../../session/permission.tsx";
import { messages } from "./messages.ts";

type Tenant = SettingsTenantQuery["me"]["tenant"];
type Quota = NonNullable<Tenant["quotas"]>[number];

/** What the plan allows and what is used of it; for owners, stopping everything. */
export function Limits() {
  return (
    <Stack gap="lg">
      <Allowed to="usage:read">
        <Quotas />
      </Allowed>
      <Allowed to="tenant:manage">
        <Suspension />
      </Allowed>
    </Stack>
  );
}

function Quotas() {
  const t = useMessages(messages);
  const result = useSettingsTenantQuery({ fetchPolicy: "cache-and-network" });
  return (
    <Section title={t.limits} description={t.limitsText}>
      <QueryState data={result.data} error={result.error} onRetry={() => void result.refetch()}>
        {({ me: { tenant } }) => <Plan tenant={tenant} />}
      </QueryState>
    </Section>
  );
}

function Plan({ tenant: { plan, quotas } }: { readonly tenant: Tenant }) {
  const t = useMessages(messages);
  return (
    <Stack gap="md">
      {plan && <Text fw={600}>{t.plan(plan.name)}</Text>}
      {(quotas ?? []).length === 0 && (
        <Text size="sm" c="dimmed">
          {t.noQuotas}
        </Text>
      )}
      {quotas?.map((quota) => (
        <QuotaLine key={quota.kind} quota={quota} />
      ))}
    </Stack>
  );
}

function QuotaLine({ quota: { kind, limit, used, whenFull } }: { readonly quota: Quota }) {
  const t = useMessages(messages);
  const format = useFormat();
  const share = Number(limit) === 0 ? 100 : Math.min(100, (Number(used) / Number(limit)) * 100);
  return (
    <Stack gap={6}>
      <Group justify="space-between">
        <Text size="sm" fw={500}>
          {t[kind]}
        </Text>
        <Text size="sm">{t.usedOf(format.quantity(used), format.quantity(limit))}</Text>
      </Group>
      <Progress value={share} aria-label={t[kind]} color={share >= 100 ? "red.7" : "brand.6"} size="lg" radius="xl" />
      {whenFull !== null && <WhenFullChoice whenFull={whenFull} />}
    </Stack>
  );
}

function WhenFullChoice({ whenFull }: { readonly whenFull: WhenFull }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const mayWrite = usePermission("budget:write");
  const [set, { loading }] = useSettingsSetQuotaPolicyMutation();
  const other: WhenFull = whenFull === "QUEUE" ? "REFUSE" : "QUEUE";
  return (
    <Group gap="sm">
      <Text size="sm" c="dimmed">
        {t[whenFull]}
      </Text>
      {mayWrite && (
        <Button
          size="compact-sm"
          variant="subtle"
          loading={loading}
          onClick={() => {
            set({ variables: { whenFull: other } }).catch(notify.error);
          }}
        >
          {other === "QUEUE" ? t.ratherQueue : t.ratherRefuse}
        </Button>
      )}
    </Group>
  );
}

const REFETCH = { refetchQueries: ["ShellMe"], awaitRefetchQueries: true };

function Suspension() {
  const t = useMessages(messages);
  const { suspension } = useMe().tenant;
  const notify = useNotify();
  const [isAsking, setAsking] = useState(false);
  const [resume, { loading }] = useResumeTenantMutation(REFETCH);
  return (
    <Section title={t.stopAll} description={t.stopAllText}>
      {suspension ? (
        <Alert color="yellow" variant="light" title={t.stopped}>
          <Stack gap="sm" align="flex-start">
            <Text size="sm">{suspension.reason}</Text>
            {suspension.by === "OWNER" ? (
              <Button
                size="sm"
                loading={loading}
                onClick={() => {
                  resume().catch(notify.error);
                }}
              >
                {t.resumeAll}
              </Button>
            ) : (
              <Text size="sm">{t.byPlatform}</Text>
            )}
          </Stack>
        </Alert>
      ) : (
        <Group>
          <Button
            variant="outline"
            color="red"
            onClick={() => {
              setAsking(true);
            }}
          >
            {t.stopAllAction}
          </Button>
        </Group>
      )}
      {isAsking && (
        <Stopping
          onClose={() => {
            setAsking(false);
          }}
        />
      )}
    </Section>
  );
}

function Stopping({ onClose }: { readonly onClose: () => void }) {
  const t = useMessages(messages);
  const [reason, setReason] = useState("");
  const [suspend] = useSuspendTenantMutation(REFETCH);
  return (
    <Confirm
      title={t.stopTitle}
      text={
        <Stack gap="md">
          {t.stopText}
          <Textarea
            label={t.reason}
            description={t.reasonText}
            maxLength={500}
            data-autofocus
            value={reason}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
        </Stack>
      }
      action={t.stopAllAction}
      cancel={t.cancel}
      isReady={reason.trim() !== ""}
      onClose={onClose}
      onConfirm={() => suspend({ variables: { reason: reason.trim() } })}
    />
  );
}
