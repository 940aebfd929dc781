import { Badge, Button, Table, Text } from "@mantine/core";
import { useState } from "react";
import { usePages } from "../../data/use-pages.ts";
import type { SettingsWebhooksQuery } from "../../generated/settings/graphql.ts";
import { useSettingsDeleteWebhookMutation, useSettingsWebhooksQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconPlus, IconWebhook } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { Allowed, usePermission } from "../../session/permission.tsx";
import { messages } from "./messages.ts";
import { Secret } from "./secret.tsx";
import { WebhookDialog } from "./webhook-dialog.tsx";

type Endpoint = SettingsWebhooksQuery["webhookEndpoints"]["edges"][number]["node"];
const REFETCH = { refetchQueries: ["SettingsWebhooks"], awaitRefetchQueries: true };

/** Where runs may send data to. */
export function Webhooks() {
  const t = useMessages(messages);
  const result = useSettingsWebhooksQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ webhookEndpoints }) => webhookEndpoints);
  const mayManage = usePermission("integration:manage");
  const [isCreating, setCreating] = useState(false);
  const [secret, setSecret] = useState<string>();
  const [deleted, setDeleted] = useState<Endpoint>();
  return (
    <Section
      title={t.webhooks}
      description={t.webhooksText}
      actions={
        <Allowed to="integration:manage">
          <Button
            size="sm"
            leftSection={<IconPlus size={16} />}
            onClick={() => {
              setCreating(true);
            }}
          >
            {t.createWebhook}
          </Button>
        </Allowed>
      }
    >
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0}
        empty={<EmptyState icon={<IconWebhook size={28} />} title={t.noWebhooks} text={t.noWebhooksText} />}
      >
        {() => (
          <DataTable
            label={t.webhooks}
            minWidth={560}
            columns={[
              ...[t.name, t.url, t.since].map((label) => ({ label })),
              ...(mayManage ? [{ label: t.actions, isHidden: true }] : []),
            ]}
          >
            {pages.items.map((endpoint) => (
              <EndpointRow key={endpoint.id} endpoint={endpoint} onDelete={setDeleted} />
            ))}
          </DataTable>
        )}
      </QueryState>
      <LoadMore pages={pages} />
      {isCreating && (
        <WebhookDialog
          onCreated={setSecret}
          onClose={() => {
            setCreating(false);
          }}
        />
      )}
      {secret !== undefined && (
        <Secret
          title={t.webhookMade}
          text={t.webhookMadeText}
          value={secret}
          onClose={() => {
            setSecret(undefined);
          }}
        />
      )}
      {deleted && (
        <Deletion
          endpoint={deleted}
          onClose={() => {
            setDeleted(undefined);
          }}
        />
      )}
    </Section>
  );
}

interface EndpointRowProps {
  readonly endpoint: Endpoint;
  readonly onDelete: (endpoint: Endpoint) => void;
}

function EndpointRow({ endpoint, onDelete }: EndpointRowProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { name, url, honoursIdempotencyKeys, createdAt } = endpoint;
  return (
    <Table.Tr>
      <Table.Td>
        <Text size="sm" fw={500}>
          {name}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {url}
        </Text>
        {honoursIdempotencyKeys && (
          <Badge variant="light" color="gray" size="sm" tt="none">
            {t.repeatable}
          </Badge>
        )}
      </Table.Td>
      <Table.Td>{format.date(createdAt)}</Table.Td>
      <Allowed to="integration:manage">
        <Table.Td ta="right">
          <Button
            size="compact-sm"
            variant="subtle"
            color="red"
            aria-label={`${t.remove}: ${name}`}
            onClick={() => {
              onDelete(endpoint);
            }}
          >
            {t.remove}
          </Button>
        </Table.Td>
      </Allowed>
    </Table.Tr>
  );
}

function Deletion({ endpoint, onClose }: { readonly endpoint: Endpoint; readonly onClose: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [remove] = useSettingsDeleteWebhookMutation(REFETCH);
  return (
    <Confirm
      title={t.removeTitle(endpoint.name)}
      text={t.removeWebhookText}
      action={t.remove}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await remove({ variables: { webhookEndpointId: endpoint.id } });
        notify.success(t.removeDone(endpoint.name));
      }}
    />
  );
}
