import { Alert, Anchor, Text } from "@mantine/core";
import type { RunLive } from "@sba/client";
import { Link } from "wouter";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { Fact, FactList } from "../../../parts/facts.tsx";
import { IconAlertTriangle } from "../../../parts/icons.ts";
import { useNow } from "../../../parts/use-now.ts";
import { durationOf } from "../row.tsx";
import { RunStatusBadge } from "../status.tsx";
import { messages } from "./messages.ts";
import { titleOf, type RunDetail } from "./detail.ts";

interface FactsProps {
  readonly run: RunDetail;
  readonly live: RunLive;
}

/** A run that waits for its turn may wait for long; one that does not is begun sooner. */
const WORTH_SAYING_MS = 1_000;

/** What the run is, in one glance. */
export function Facts({ run, live }: FactsProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { status, error, cost, endedAt, startedAt } = live.run;
  const beganAt = startedAt ?? run.startedAt;
  const took = durationOf({ createdAt: run.createdAt, startedAt: beganAt, endedAt });
  const now = useNow(took === undefined);
  const waitedMs = beganAt === null ? 0 : Date.parse(beganAt) - Date.parse(run.createdAt);
  return (
    <>
      {error && (
        <Alert color="red" variant="light" icon={<IconAlertTriangle size={20} />} title={t.failed}>
          {error.message} <code>{error.code}</code>
        </Alert>
      )}
      <FactList label={t.facts}>
        <Fact label={t.status}>
          <RunStatusBadge status={status} />
        </Fact>
        <Fact label={t.agent}>
          {run.agent?.name}{" "}
          {run.agentVersion && (
            <Text span size="sm" c="dimmed">
              {t.version(run.agentVersion.number)}
            </Text>
          )}
        </Fact>
        <Fact label={t.cost}>{cost ? format.money(cost) : undefined}</Fact>
        <Fact label={t.duration}>
          {took === undefined
            ? t.soFar(format.duration(Math.max(0, now.getTime() - Date.parse(beganAt ?? run.createdAt))))
            : format.duration(took)}
          {waitedMs >= WORTH_SAYING_MS && (
            <Text span size="sm" c="dimmed">
              {" "}
              {t.waited(format.duration(waitedMs))}
            </Text>
          )}
        </Fact>
        <Fact label={t.accepted}>{format.dateTime(run.createdAt)}</Fact>
        <Fact label={t.startedBy}>{run.startedBy?.displayName}</Fact>
        <Fact label={t.model}>{run.model}</Fact>
        <Fact label={t.thread}>
          <Anchor component={Link} href={`/runs?thread=${run.thread.id}`}>
            {t.showThread}
          </Anchor>
        </Fact>
        <Origins run={run} />
      </FactList>
    </>
  );
}

/** Of what run it is a fork, or a part. */
function Origins({ run: { forkedFrom, parent } }: { readonly run: RunDetail }) {
  const t = useMessages(messages);
  return (
    <>
      {forkedFrom?.run && (
        <Fact label={t.forkedFrom}>
          <Anchor component={Link} href={`/runs/${forkedFrom.run.id}`}>
            {t.atEvent(forkedFrom.seq, titleOf(forkedFrom.run.prompt))}
          </Anchor>
        </Fact>
      )}
      {parent && (
        <Fact label={t.parent}>
          <Anchor component={Link} href={`/runs/${parent.id}`}>
            {titleOf(parent.prompt)}
          </Anchor>
        </Fact>
      )}
    </>
  );
}
