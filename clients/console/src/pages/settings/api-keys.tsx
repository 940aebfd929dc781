import { Badge, Code, Table, Text } from "@mantine/core";
import { useRevokeApiKeyMutation } from "@sba/client/react";
import { usePages } from "../../data/use-pages.ts";
import type { SettingsApiKeysQuery } from "../../generated/settings/graphql.ts";
import { useSettingsApiKeysQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconKey } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { ApiKeyDialog } from "./api-key-dialog.tsx";
import { ManagedList } from "./managed-list.tsx";
import { messages } from "./messages.ts";

type ApiKey = SettingsApiKeysQuery["apiKeys"]["edges"][number]["node"];

/** By what programs act in the tenant: made here, shown once, revoked for good. Whoever is here may do all of it. */
export function ApiKeys() {
  const t = useMessages(messages);
  const result = useSettingsApiKeysQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ apiKeys }) => apiKeys);
  const [revoke] = useRevokeApiKeyMutation();
  return (
    <ManagedList
      title={t.keys}
      description={t.keysText}
      result={result}
      items={pages.items}
      empty={{ icon: <IconKey size={28} />, title: t.noKeys, text: t.noKeysText }}
      columns={[t.name, t.permissions, t.madeBy, t.endsAt]}
      minWidth={640}
      row={(apiKey) => ({ key: apiKey.id, name: apiKey.name, cells: <Cells apiKey={apiKey} /> })}
      mayManage
      create={t.createKey}
      dialog={({ onClose, onSecret }) => <ApiKeyDialog onCreated={onSecret} onClose={onClose} />}
      secret={{ title: t.keyMade, text: t.keyMadeText }}
      removal={{
        action: t.revoke,
        title: ({ name }) => t.revokeTitle(name),
        text: t.revokeText,
        done: ({ name }) => t.revokeDone(name),
        remove: ({ id }) => revoke({ variables: { apiKeyId: id } }),
        isOver,
      }}
    >
      <LoadMore pages={pages} />
    </ManagedList>
  );
}

/** Revoked, or ended by itself. */
function isOver({ revokedAt, expiresAt }: ApiKey): boolean {
  return revokedAt !== null || (expiresAt !== null && new Date(expiresAt) <= new Date());
}

function Cells({ apiKey }: { readonly apiKey: ApiKey }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { name, prefix, permissions, createdBy, createdAt, expiresAt, revokedAt } = apiKey;
  return (
    <>
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
        {isOver(apiKey) ? (
          <Badge variant="light" color="gray" tt="none">
            {revokedAt === null ? t.expired : t.revoked}
          </Badge>
        ) : (
          <Text size="sm">{expiresAt === null ? t.never : format.date(expiresAt)}</Text>
        )}
      </Table.Td>
    </>
  );
}
