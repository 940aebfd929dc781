import { Badge, Table, Text } from "@mantine/core";
import { usePages } from "../../data/use-pages.ts";
import type { SettingsWebhooksQuery } from "../../generated/settings/graphql.ts";
import { useSettingsDeleteWebhookMutation, useSettingsWebhooksQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconWebhook } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { usePermission } from "../../session/permission.tsx";
import { ManagedList } from "./managed-list.tsx";
import { messages } from "./messages.ts";
import { WebhookDialog } from "./webhook-dialog.tsx";

type Endpoint = SettingsWebhooksQuery["webhookEndpoints"]["edges"][number]["node"];

/** Where runs may send data to. */
export function Webhooks() {
  const t = useMessages(messages);
  const result = useSettingsWebhooksQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ webhookEndpoints }) => webhookEndpoints);
  const [remove] = useSettingsDeleteWebhookMutation({
    refetchQueries: ["SettingsWebhooks"],
    awaitRefetchQueries: true,
  });
  return (
    <ManagedList
      title={t.webhooks}
      description={t.webhooksText}
      result={result}
      items={pages.items}
      empty={{ icon: <IconWebhook size={28} />, title: t.noWebhooks, text: t.noWebhooksText }}
      columns={[t.name, t.url, t.since]}
      row={(endpoint) => ({ key: endpoint.id, name: endpoint.name, cells: <Cells endpoint={endpoint} /> })}
      mayManage={usePermission("integration:manage")}
      create={t.createWebhook}
      dialog={({ onClose, onSecret }) => <WebhookDialog onCreated={onSecret} onClose={onClose} />}
      secret={{ title: t.webhookMade, text: t.webhookMadeText }}
      removal={{
        action: t.remove,
        title: ({ name }) => t.removeTitle(name),
        text: t.removeWebhookText,
        done: ({ name }) => t.removeDone(name),
        remove: ({ id }) => remove({ variables: { webhookEndpointId: id } }),
      }}
    >
      <LoadMore pages={pages} />
    </ManagedList>
  );
}

function Cells({ endpoint: { name, url, honoursIdempotencyKeys, createdAt } }: { readonly endpoint: Endpoint }) {
  const t = useMessages(messages);
  const format = useFormat();
  return (
    <>
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
    </>
  );
}
