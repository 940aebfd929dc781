import { useApolloClient } from "@apollo/client/react";
import { Checkbox, Group, Text, VisuallyHidden } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { Link } from "wouter";
import type { RunsListQuery } from "../../generated/runs/graphql.ts";
import { isEnded } from "../../data/is-ended.ts";
import { useRunsRowEventsSubscription } from "../../generated/runs/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { messages } from "./messages.ts";
import classes from "./runs.module.css";
import { RunStatusBadge } from "./status.tsx";

export type RunInList = Omit<RunsListQuery["runs"]["edges"][number]["node"], "cursor">;

interface RunRowProps {
  readonly run: RunInList;
  /** Beside it, such as a checkbox. */
  readonly aside?: ReactNode;
}

/** One run in a list, as a link to its page. */
export function RunRow({ run, aside }: RunRowProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { id, prompt, status, agent, startedBy, createdAt, cost, error } = run;
  const took = durationOf(run);
  return (
    <li className={classes["row"]} data-run={id}>
      {aside}
      <div className={classes["rowMain"]}>
        <Link href={`/runs/${id}`} className={classes["rowLink"]}>
          <Text span fw={550} lineClamp={2} className={classes["prompt"]}>
            {prompt}
          </Text>
        </Link>
        <Text size="sm" c="dimmed" lineClamp={1}>
          {agent?.name ?? t.unknownAgent}
          {startedBy && ` · ${t.by(startedBy.displayName)}`}
          {error && ` · ${error.code}`}
        </Text>
      </div>
      <div className={classes["rowFacts"]}>
        <RunStatusBadge status={status} />
        <Group gap="md" wrap="nowrap" className={classes["figures"]}>
          <Text size="sm" c="dimmed" className={classes["figure"]}>
            {took !== undefined && (
              <>
                <VisuallyHidden>{t.took("")}</VisuallyHidden>
                {format.duration(took)}
              </>
            )}
          </Text>
          <Text size="sm" className={classes["figure"]}>
            {cost ? format.money(cost) : ""}
          </Text>
          <Text size="sm" c="dimmed" className={classes["when"]} title={format.dateTime(createdAt)}>
            {format.relative(createdAt)}
          </Text>
        </Group>
      </div>
    </li>
  );
}

/** How long it took, or has taken so far. */
export function durationOf({
  createdAt,
  startedAt,
  endedAt,
}: Pick<RunInList, "createdAt" | "startedAt" | "endedAt">): number | undefined {
  return endedAt === null ? undefined : Date.parse(endedAt) - Date.parse(startedAt ?? createdAt);
}

/** Keeps a run that goes on as it is now, in the cache, for whatever shows it. */
export function FollowRun({
  id,
  status,
  cursor,
}: {
  readonly id: string;
  readonly status: string;
  readonly cursor: string;
}) {
  const { cache } = useApolloClient();
  // Where it was first seen: the list is read anew again and again, the stream goes on.
  const [after] = useState(cursor);
  useRunsRowEventsSubscription({
    // Its answers are not kept one by one: what they say of the run is.
    fetchPolicy: "no-cache",
    ignoreResults: true,
    skip: isEnded(status),
    variables: { runId: id, after },
    onData: ({ data: { data } }) => {
      const event = data?.runEvents;
      const target = cache.identify({ __typename: "Run", id });
      if (!event || target === undefined) return;
      if (event.__typename === "RunStatusChanged") cache.modify({ id: target, fields: { status: () => event.to } });
      if ((event.__typename === "RunFinished" || event.__typename === "RunFailed") && event.run) {
        const { status: ended, endedAt, cost } = event.run;
        cache.modify({ id: target, fields: { status: () => ended, endedAt: () => endedAt, cost: () => cost } });
      }
    },
  });
  return null;
}

interface ChooseProps {
  readonly prompt: string;
  readonly isChosen: boolean;
  readonly isDisabled: boolean;
  readonly onChange: (isChosen: boolean) => void;
}

export function Choose({ prompt, isChosen, isDisabled, onChange }: ChooseProps) {
  const t = useMessages(messages);
  return (
    <Checkbox
      size="sm"
      aria-label={t.choose(prompt.slice(0, 80))}
      checked={isChosen}
      disabled={isDisabled}
      onChange={({ currentTarget }) => {
        onChange(currentTarget.checked);
      }}
    />
  );
}
