import { Accordion, Badge, Code, Group, NativeSelect, Stack, Text } from "@mantine/core";
import type { ApprovalStatus, LiveApproval } from "@sba/client";
import { useState } from "react";
import { ApprovalCard } from "../../approval/card.tsx";
import { gistOf } from "../../approval/params.ts";
import { usePages } from "../../data/use-pages.ts";
import { useInboxEndedQuery } from "../../generated/inbox/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconShieldQuestion } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import classes from "./inbox.module.css";
import { messages } from "./messages.ts";

const ENDED = ["APPROVED", "DENIED", "EXPIRED", "CANCELLED", "SUPERSEDED"] as const satisfies readonly ApprovalStatus[];
type EndedStatus = (typeof ENDED)[number];
const COLOURS: Readonly<Record<EndedStatus, string>> = {
  APPROVED: "teal",
  DENIED: "red",
  EXPIRED: "gray",
  CANCELLED: "gray",
  SUPERSEDED: "gray",
};

/** What was decided, by whom and why, newest first. */
export function Ended() {
  const t = useMessages(messages);
  const [only, setOnly] = useState<EndedStatus>();
  const variables = { status: only === undefined ? ENDED : [only] };
  const result = useInboxEndedQuery({ variables, fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ approvals }) => approvals);
  return (
    <Stack gap="md">
      <NativeSelect
        label={t.outcome}
        maw={260}
        value={only ?? ""}
        data={[{ value: "", label: t.any }, ...ENDED.map((value) => ({ value, label: t[value] }))]}
        onChange={({ currentTarget }) => {
          setOnly(ENDED.find((each) => each === currentTarget.value));
        }}
      />
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0}
        empty={<EmptyState icon={<IconShieldQuestion size={28} />} title={t.noneEnded} text={t.noneEndedText} />}
      >
        {() => (
          <Accordion variant="separated" radius="lg" order={2}>
            {pages.items.map((approval) => (
              <EndedItem key={approval.id} approval={approval} />
            ))}
          </Accordion>
        )}
      </QueryState>
      <LoadMore pages={pages} />
    </Stack>
  );
}

function EndedItem({ approval }: { readonly approval: LiveApproval }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { id, action, status, params, decidedBy, decisions, createdAt } = approval;
  const endedStatus = status === "PENDING" ? undefined : status;
  const at = decisions.at(-1)?.decidedAt ?? createdAt;
  return (
    <Accordion.Item value={id} className={classes["ended"]}>
      <Accordion.Control>
        <Group gap="sm" wrap="nowrap" align="flex-start">
          {endedStatus !== undefined && (
            <Badge variant="light" color={COLOURS[endedStatus]} tt="none" miw={92}>
              {t[endedStatus]}
            </Badge>
          )}
          <div className={classes["grow"]}>
            <Text size="sm" lineClamp={2}>
              <Code>{action}</Code> {gistOf(params)}
            </Text>
            <Text size="xs" c="dimmed">
              {format.dateTime(at)} {decidedBy !== null && t.by(decidedBy.displayName)}
            </Text>
          </div>
        </Group>
      </Accordion.Control>
      <Accordion.Panel>
        <ApprovalCard approval={approval} showRun />
      </Accordion.Panel>
    </Accordion.Item>
  );
}
