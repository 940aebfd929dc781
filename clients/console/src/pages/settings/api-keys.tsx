import { Badge, Button, Code, Table, Text } from "@mantine/core";
import { useRevokeApiKeyMutation } from "@sba/client/react";
import { useState } from "react";
import { usePages } from "../../data/use-pages.ts";
import type { SettingsApiKeysQuery } from "../../generated/settings/graphql.ts";
import { useSettingsApiKeysQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconKey, IconPlus } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { ApiKeyDialog } from "./api-key-dialog.tsx";
import { messages } from "./messages.ts";
import { Secret } from "./secret.tsx";

type ApiKey = SettingsApiKeysQuery["apiKeys"]["edges"][number]["node"];

/** By what programs act in the tenant: made here, shown once, revoked for good. Whoever is here may do all of it. */
export function ApiKeys() {
  const t = useMessages(messages);
  const result = useSettingsApiKeysQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ apiKeys }) => apiKeys);
  const [isCreating, setCreating] = useState(false);
  const [secret, setSecret] = useState<string>();
  const [revoked, setRevoked] = useState<ApiKey>();
  return (
    <Section
      title={t.keys}
      description={t.keysText}
      actions={
        <Button
          size="sm"
          leftSection={<IconPlus size={16} />}
          onClick={() => {
            setCreating(true);
          }}
        >
          {t.createKey}
        </Button>
      }
    >
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0}
        empty={<EmptyState icon={<IconKey size={28} />} title={t.noKeys} text={t.noKeysText} />}
      >
        {() => (
          <DataTable
            label={t.keys}
            minWidth={640}
            columns={[
              ...[t.name, t.permissions, t.madeBy, t.endsAt].map((label) => ({ label })),
              { label: t.actions, isHidden: true },
            ]}
          >
            {pages.items.map((apiKey) => (
              <KeyRow key={apiKey.id} apiKey={apiKey} onRevoke={setRevoked} />
            ))}
          </DataTable>
        )}
      </QueryState>
      <LoadMore pages={pages} />
      {isCreating && (
        <ApiKeyDialog
          onCreated={setSecret}
          onClose={() => {
            setCreating(false);
          }}
        />
      )}
      {secret !== undefined && (
        <Secret
          title={t.keyMade}
          text={t.keyMadeText}
          value={secret}
          onClose={() => {
            setSecret(undefined);
          }}
        />
      )}
      {revoked && (
        <Revocation
          apiKey={revoked}
          onClose={() => {
            setRevoked(undefined);
          }}
        />
      )}
    </Section>
  );
}

function KeyRow({ apiKey, onRevoke }: { readonly apiKey: ApiKey; readonly onRevoke: (apiKey: ApiKey) => void }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { name, prefix, permissions, createdBy, createdAt, expiresAt, revokedAt } = apiKey;
  const hasEnded = expiresAt !== null && new Date(expiresAt) <= new Date();
  return (
    <Table.Tr>
      <Table.Td>
        <Text size="sm" fw={500}>
          {name}
        </Text>
        <Code>{prefix}…</Code>
      </Table.Td>
      <Table.Td>
        <Text size="xs" title={permissions.join(", ")} lineClamp={2}>
          {permissions.join(", ")}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm">{createdBy?.displayName ?? "–"}</Text>
        <Text size="xs" c="dimmed">
          {format.date(createdAt)}
        </Text>
      </Table.Td>
      <Table.Td>
        {revokedAt !== null || hasEnded ? (
          <Badge variant="light" color="gray" tt="none">
            {revokedAt === null ? t.expired : t.revoked}
          </Badge>
        ) : (
          <Text size="sm">{expiresAt === null ? t.never : format.date(expiresAt)}</Text>
        )}
      </Table.Td>
      <Table.Td ta="right">
        {revokedAt === null && !hasEnded && (
          <Button
            size="compact-sm"
            variant="subtle"
            color="red"
            aria-label={`${t.revoke}: ${name}`}
            onClick={() => {
              onRevoke(apiKey);
            }}
          >
            {t.revoke}
          </Button>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function Revocation({ apiKey, onClose }: { readonly apiKey: ApiKey; readonly onClose: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [revoke] = useRevokeApiKeyMutation();
  return (
    <Confirm
      title={t.revokeTitle(apiKey.name)}
      text={t.revokeText}
      action={t.revoke}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await revoke({ variables: { apiKeyId: apiKey.id } });
        notify.success(t.revokeDone(apiKey.name));
      }}
    />
  );
}
