import { Button, Table } from "@mantine/core";
import { useEndSessionMutation, useSessionsQuery } from "@sba/client/react";
import { useState } from "react";
import { usePages } from "../../data/use-pages.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { messages } from "./messages.ts";

/** Where the one who is signed in is signed in, and ending it. */
export function Sessions() {
  const t = useMessages(messages);
  const format = useFormat();
  const notify = useNotify();
  const result = useSessionsQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ sessions }) => sessions);
  const [ending, setEnding] = useState<string>();
  const [end] = useEndSessionMutation({ refetchQueries: ["Sessions"], awaitRefetchQueries: true });
  return (
    <Section title={t.sessions} description={t.sessionsText}>
      <QueryState data={result.data} error={result.error} onRetry={() => void result.refetch()}>
        {() => (
          <DataTable
            label={t.sessions}
            minWidth={420}
            isTitled={false}
            columns={[{ label: t.signedInAt }, { label: t.endsAt }, { label: t.actions, actions: "below" }]}
          >
            {pages.items.map(({ id, createdAt, expiresAt }) => (
              <Table.Tr key={id}>
                <Table.Td>{format.dateTime(createdAt)}</Table.Td>
                <Table.Td>{format.relative(expiresAt)}</Table.Td>
                <Table.Td ta="right">
                  <Button
                    size="compact-sm"
                    variant="subtle"
                    color="red"
                    aria-label={t.endSessionOf(format.dateTime(createdAt))}
                    onClick={() => {
                      setEnding(id);
                    }}
                  >
                    {t.endSession}
                  </Button>
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
      <LoadMore pages={pages} />
      {ending !== undefined && (
        <Confirm
          title={t.endTitle}
          text={t.endText}
          action={t.endSession}
          cancel={t.cancel}
          onClose={() => {
            setEnding(undefined);
          }}
          onConfirm={async () => {
            await end({ variables: { sessionId: ending } });
            notify.success(t.endDone);
          }}
        />
      )}
    </Section>
  );
}
