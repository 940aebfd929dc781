import { Alert, Button, Checkbox, Group, Stack } from "@mantine/core";
import type { LiveApproval } from "@sba/client";
import type { UseLiveResult } from "@sba/client/react";
import { useState } from "react";
import { ApprovalCard } from "../../approval/card.tsx";
import { gistOf } from "../../approval/params.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconCheck } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { BulkBar, BulkSummary } from "./bulk.tsx";
import { messages } from "./messages.ts";
import { useBulkDecide } from "./use-bulk-decide.ts";
import { useStaying } from "./use-staying.ts";

/** As many as the live inbox begins with. */
const MOST = 100;

interface WaitingProps {
  readonly live: UseLiveResult<readonly LiveApproval[]> | undefined;
  readonly isMineOnly: boolean;
}

/** What waits, newest first: decided one by one, or many at once. */
export function Waiting({ live, isMineOnly }: WaitingProps) {
  const t = useMessages(messages);
  const staying = useStaying(live?.data);
  const [chosenIds, setChosenIds] = useState<ReadonlySet<string>>(new Set());
  const bulk = useBulkDecide();
  const shown = staying.flatMap(({ approval, isMine }) => (isMine || !isMineOnly ? [approval] : []));
  const choices = shown.filter(({ status, mayDecide }) => status === "PENDING" && mayDecide);
  const choose = (approvals: readonly LiveApproval[]) => {
    setChosenIds(new Set(approvals.map(({ id }) => id)));
  };
  const chosen = choices.filter(({ id }) => chosenIds.has(id));
  return (
    <QueryState
      data={live?.data}
      error={live?.error}
      onRetry={() => live?.reload()}
      isEmpty={() => shown.length === 0}
      empty={
        <EmptyState
          icon={<IconCheck size={28} />}
          title={isMineOnly ? t.noneForYou : t.noneWaits}
          text={isMineOnly ? t.noneForYouText : t.noneWaitsText}
        />
      }
    >
      {(waiting) => (
        <Stack gap="md">
          <BulkSummary bulk={bulk} />
          {(choices.length > 1 || bulk.deciding > 0) && (
            <BulkBar choices={choices} chosen={chosen} onChoose={choose} bulk={bulk} />
          )}
          {shown.map((approval) => (
            <ApprovalCard
              key={approval.id}
              approval={approval}
              showRun
              aside={
                choices.length > 1 && choices.includes(approval) ? (
                  <Checkbox
                    aria-label={t.choose(approval.action, gistOf(approval.params))}
                    checked={chosenIds.has(approval.id)}
                    onChange={({ currentTarget }) => {
                      const others = chosen.filter(({ id }) => id !== approval.id);
                      choose(currentTarget.checked ? [...others, approval] : others);
                    }}
                  />
                ) : undefined
              }
            />
          ))}
          {waiting.length >= MOST && (
            <Alert variant="light" color="gray">
              <Group justify="space-between">
                {t.more}
                <Button size="xs" variant="default" onClick={() => live?.reload()}>
                  {t.lookAgain}
                </Button>
              </Group>
            </Alert>
          )}
        </Stack>
      )}
    </QueryState>
  );
}
