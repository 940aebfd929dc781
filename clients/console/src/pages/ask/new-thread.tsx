import { Alert, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { useAskAgentsQuery, useAskRecentQuery } from "../../generated/ask/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconRobot } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { useLate } from "../../parts/use-late.ts";
import { usePermission } from "../../session/permission.tsx";
import classes from "./ask.module.css";
import { AgentPicker, Composer } from "./composer.tsx";
import { messages } from "./messages.ts";
import { Status } from "./status.tsx";
import { Turn } from "./turn.tsx";
import { keepAgent, lastAgent, useAsk, type Asking } from "./use-ask.ts";

const SOON_MS = 150;

/** Where a conversation begins: who is asked, and what. */
export function NewThread() {
  const t = useMessages(messages);
  const mayAsk = usePermission("run:start", "agent:read");
  const asking = useAsk();
  const isLate = useLate(asking.asked !== undefined, SOON_MS);
  // What is accepted sooner is drawn once, as the run that it is.
  if (asking.asked !== undefined && isLate)
    return (
      <Turn prompt={asking.asked} isBusy>
        <Text size="sm" c="dimmed" role="status">
          {t.thinking}
        </Text>
      </Turn>
    );
  return (
    <Stack gap="xl" className={classes["hero"]}>
      <div>
        <Title order={2} size="h1" ta="center">
          {t.welcome}
        </Title>
        <Text c="dimmed" ta="center" mt="xs">
          {t.welcomeText}
        </Text>
      </div>
      {mayAsk ? <Ask asking={asking} /> : <Alert variant="light">{t.mayNotAsk}</Alert>}
      <Recent />
    </Stack>
  );
}

function Ask({ asking: { ask, asked } }: { readonly asking: Asking }) {
  const t = useMessages(messages);
  const { data, error, refetch } = useAskAgentsQuery();
  const [chosen, setChosen] = useState(lastAgent);
  const agents = data?.agents.edges.map(({ node }) => node) ?? [];
  const agent = agents.find(({ key }) => key === chosen) ?? agents.find(({ key }) => key === "handbook") ?? agents[0];
  return (
    <QueryState
      data={data}
      error={error}
      onRetry={() => void refetch()}
      skeleton={<Skeleton height={104} radius="lg" />}
      isEmpty={() => agent === undefined}
      empty={<EmptyState icon={<IconRobot size={28} />} title={t.noAgents} text={t.noAgentsText} />}
    >
      {() => (
        <Composer
          autoFocus
          placeholder={t.placeholder}
          onSend={(text) => {
            if (agent) ask(agent.key, text);
          }}
          isSending={asked !== undefined}
        >
          <AgentPicker
            agents={agents}
            value={agent?.key ?? ""}
            onChange={(key) => {
              keepAgent(key);
              setChosen(key);
            }}
          />
        </Composer>
      )}
    </QueryState>
  );
}

/** What was asked lately, by whomever in the company. */
function Recent() {
  const t = useMessages(messages);
  const format = useFormat();
  const { data } = useAskRecentQuery({ fetchPolicy: "cache-and-network" });
  const runs = data?.runs.edges.map(({ node }) => node) ?? [];
  if (runs.length === 0) return null;
  return (
    <section aria-label={t.recent}>
      <Text size="xs" fw={600} c="dimmed" tt="uppercase" mb="xs">
        {t.recent}
      </Text>
      <Stack component="ul" gap="xs" className={classes["list"]}>
        {runs.map(({ id, prompt, status, createdAt, agent }) => (
          <li key={id}>
            <Link href={`/ask/${id}`} className={classes["recent"]}>
              <span className={classes["grow"]}>
                <Text size="sm" fw={500} truncate>
                  {prompt}
                </Text>
                <Text size="xs" c="dimmed">
                  {[agent?.name, format.relative(createdAt)].filter(Boolean).join(" · ")}
                </Text>
              </span>
              <Status status={status} />
            </Link>
          </li>
        ))}
      </Stack>
    </section>
  );
}
