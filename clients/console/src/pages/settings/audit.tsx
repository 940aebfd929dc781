import { Accordion, Autocomplete, Code, Group, NativeSelect, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import type { AuditEntriesQuery } from "@sba/client";
import { useAuditEntriesQuery } from "@sba/client/react";
import { useState } from "react";
import { usePages } from "../../data/use-pages.ts";
import { useSettingsMembersQuery } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconHistory } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { usePermission } from "../../session/permission.tsx";
import { messages } from "./messages.ts";

type Entry = AuditEntriesQuery["auditEntries"]["edges"][number]["node"];
const TYPED_MS = 300;
const DAY_MS = 86_400_000;

/** To complete what is typed; any action that was ever written can be asked for. */
const ACTIONS = [
  ...["agent.agent.created", "agent.approval.cancelled", "agent.approval.decided", "agent.approval.escalated"],
  ...[
    "agent.approval.expired",
    "agent.approval.superseded",
    "agent.approvalPolicy.removed",
    "agent.approvalPolicy.set",
  ],
  ...["agent.deadLetter.replayed", "agent.note.deleted", "agent.run.cancelled", "agent.run.executed"],
  ...["agent.run.paused", "agent.run.resumed", "agent.task.created"],
  ...["agent.version.published", "billing.budget.removed", "billing.budget.set", "billing.quotaPolicy.set"],
  ...["identity.apiKey.created", "identity.apiKey.revoked", "identity.member.added", "identity.member.rolesSet"],
  ...["identity.member.statusSet", "identity.session.closed", "identity.session.created", "identity.session.opened"],
  ...["identity.session.reuseDetected", "identity.tenant.resumed", "identity.tenant.suspended"],
  ...["integrations.toolCall.resolved", "integrations.webhookEndpoint.created", "integrations.webhookEndpoint.deleted"],
  ...["knowledge.collection.created", "knowledge.collection.deleted", "knowledge.documents.added"],
  ...["knowledge.documents.removed", "workflow.workflow.created", "workflow.workflow.versionPublished"],
  ...["workflow.workflowRun.cancelled"],
];

interface Asked {
  readonly action: string;
  readonly principalId: string;
  /** Days of this machine's time; empty for any. */
  readonly from: string;
  readonly to: string;
}

/** A day of a date field as its first moment where the person is; undefined for none. */
function momentOf(day: string, plusMs = 0): string | undefined {
  const at = new Date(`${day}T00:00:00`).getTime();
  return Number.isNaN(at) ? undefined : new Date(at + plusMs).toISOString();
}

/** Only what is asked for: another filter is another list. */
function filterOf({ action, principalId, from, to }: Asked) {
  const [first, last] = [momentOf(from), momentOf(to, DAY_MS)];
  return {
    ...(action.trim() === "" ? {} : { action: action.trim() }),
    ...(principalId === "" ? {} : { principalId }),
    ...(first === undefined ? {} : { from: first }),
    ...(last === undefined ? {} : { to: last }),
  };
}

/** Who did what, newest first. */
export function Audit() {
  const t = useMessages(messages);
  const [asked, setAsked] = useState<Asked>({ action: "", principalId: "", from: "", to: "" });
  const [typed] = useDebouncedValue(asked, TYPED_MS);
  const result = useAuditEntriesQuery({ variables: { filter: filterOf(typed) }, fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ auditEntries }) => auditEntries);
  return (
    <Section title={t.audit} description={t.auditText}>
      <Stack>
        <Filters
          asked={asked}
          onAsk={(part) => {
            setAsked((before) => ({ ...before, ...part }));
          }}
        />
        <QueryState
          data={result.data}
          error={result.error}
          onRetry={() => void result.refetch()}
          isEmpty={() => pages.items.length === 0}
          empty={<EmptyState icon={<IconHistory size={28} />} title={t.noEntries} text={t.noEntriesText} />}
        >
          {() => (
            <Accordion variant="contained" radius="md" order={3}>
              {pages.items.map((entry) => (
                <EntryItem key={entry.id} entry={entry} />
              ))}
            </Accordion>
          )}
        </QueryState>
        <LoadMore pages={pages} />
      </Stack>
    </Section>
  );
}

function Filters({ asked, onAsk }: { readonly asked: Asked; readonly onAsk: (part: Partial<Asked>) => void }) {
  const t = useMessages(messages);
  const { data } = useSettingsMembersQuery({ variables: { first: 100 }, skip: !usePermission("member:read") });
  const people = data?.members.edges.flatMap(({ node }) => (node.principal ? [node.principal] : [])) ?? [];
  return (
    <Group gap="sm" align="flex-end">
      <Autocomplete
        label={t.action}
        placeholder={t.anyAction}
        data={ACTIONS}
        limit={20}
        miw={260}
        value={asked.action}
        onChange={(action) => {
          onAsk({ action });
        }}
      />
      <NativeSelect
        label={t.actor}
        value={asked.principalId}
        data={[
          { value: "", label: t.anybody },
          ...people.map(({ id, displayName }) => ({ value: id, label: displayName })),
        ]}
        onChange={({ currentTarget }) => {
          onAsk({ principalId: currentTarget.value });
        }}
      />
      <TextInput
        type="date"
        label={t.from}
        value={asked.from}
        onChange={({ currentTarget }) => {
          onAsk({ from: currentTarget.value });
        }}
      />
      <TextInput
        type="date"
        label={t.to}
        value={asked.to}
        onChange={({ currentTarget }) => {
          onAsk({ to: currentTarget.value });
        }}
      />
    </Group>
  );
}

function EntryItem({ entry: { id, at, action, target, details, principal } }: { readonly entry: Entry }) {
  const t = useMessages(messages);
  const format = useFormat();
  return (
    <Accordion.Item value={id} data-audit={action}>
      <Accordion.Control>
        <Text size="sm" fw={500} style={{ overflowWrap: "anywhere" }}>
          {action}
        </Text>
        <Text size="xs" c="dimmed">
          {principal?.displayName ?? t.system} · {format.dateTime(at)}
        </Text>
      </Accordion.Control>
      <Accordion.Panel>
        <Stack gap="xs">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>
            {t.target}: <Code>{target}</Code>
          </Text>
          <Code block tabIndex={0}>
            {JSON.stringify(details, null, 2)}
          </Code>
        </Stack>
      </Accordion.Panel>
    </Accordion.Item>
  );
}
