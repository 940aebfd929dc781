import { skipToken } from "@apollo/client/react";
import { Button, Stack } from "@mantine/core";
import type { RunLive } from "@sba/client";
import { useRunLive } from "@sba/client/react";
import { memo, useState } from "react";
import { useLocation } from "wouter";
import { isEnded } from "../../data/is-ended.ts";
import { usePages } from "../../data/use-pages.ts";
import { useAskContinueMutation, useAskSayMutation, useAskThreadQuery } from "../../generated/ask/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconRefresh } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { useIdle } from "../../parts/use-late.ts";
import { Allowed, usePermission } from "../../session/permission.tsx";
import classes from "./ask.module.css";
import { Composer, ModePicker, type Mode } from "./composer.tsx";
import { isWorking } from "./flow.ts";
import { messages } from "./messages.ts";
import { LiveTurn, PastTurn, Turn } from "./turn.tsx";
import { useAsk, type Asking } from "./use-ask.ts";
import { useStickToEnd } from "./use-stick-to-end.ts";

/** A conversation: what was asked and answered before, and the run of the address as it goes on. */
export function Thread({ runId }: { readonly runId: string }) {
  const live = useRunLive(runId);
  const { data } = live;
  // What was said before, and what can be said now, come when what is being said is there.
  const isIdle = useIdle();
  const threadId = isIdle ? data?.run.thread.id : undefined;
  const result = useAskThreadQuery(
    threadId === undefined ? skipToken : { variables: { threadId }, fetchPolicy: "cache-and-network" },
  );
  const pages = usePages(result, ({ runs }) => runs);
  const asking = useAsk();
  useStickToEnd(data !== undefined && isWorking(data.run.status));
  const others = pages.items.filter(({ id }) => id !== runId).toReversed();
  const isAfter = ({ createdAt }: { readonly createdAt: string }) =>
    data !== undefined && Date.parse(createdAt) > Date.parse(data.run.createdAt);
  return (
    <Stack gap="xl" mih="calc(100dvh - 180px)" justify="space-between">
      <Stack gap="xl">
        <LoadMore pages={pages} />
        {others
          .filter((run) => !isAfter(run))
          .map((run) => (
            <OtherTurn key={run.id} run={run} />
          ))}
        <LiveTurn live={live} />
        {others.filter(isAfter).map((run) => (
          <OtherTurn key={run.id} run={run} />
        ))}
        {asking.asked !== undefined && <Turn prompt={asking.asked} isBusy children={null} />}
      </Stack>
      {data && isIdle && (
        <Dock
          runId={runId}
          status={data.run.status}
          prompt={data.run.prompt}
          agentKey={data.run.agent?.key}
          threadId={data.run.thread.id}
          asking={asking}
        />
      )}
    </Stack>
  );
}

type Run = Parameters<typeof PastTurn>[0]["run"];

/** Another run of the thread: as it ended, or, while it goes on, live. */
function OtherTurn({ run }: { readonly run: Run }) {
  return isEnded(run.status) ? <PastTurn run={run} /> : <FollowedTurn runId={run.id} />;
}

function FollowedTurn({ runId }: { readonly runId: string }) {
  return <LiveTurn live={useRunLive(runId)} />;
}

interface DockProps {
  readonly runId: string;
  readonly status: RunLive["run"]["status"];
  readonly prompt: string;
  readonly agentKey: string | undefined;
  readonly threadId: string;
  readonly asking: Asking;
}

/** What can be said now: a next question, an answer to the agent, or something while it works. */
const Dock = memo(function Dock({ runId, status, prompt, agentKey, threadId, asking }: DockProps) {
  const t = useMessages(messages);
  const [mode, setMode] = useState<Mode>("STEER");
  const say = useSay();
  if (!usePermission("run:start")) return null;
  const isOver = isEnded(status);
  const send = (text: string) => {
    if (status === "AWAITING_INPUT") say.answer(runId, text);
    else if (!isOver) say.say(runId, text, mode);
    else if (agentKey !== undefined) asking.ask(agentKey, text, threadId);
  };
  return (
    <Stack gap="xs" className={classes["dock"]}>
      {status === "FAILED" && agentKey !== undefined && (
        <Allowed to="run:start">
          <Button
            size="xs"
            variant="default"
            leftSection={<IconRefresh size={14} />}
            style={{ alignSelf: "center" }}
            onClick={() => {
              asking.ask(agentKey, prompt, threadId);
            }}
          >
            {t.again}
          </Button>
        </Allowed>
      )}
      <Composer
        key={runId}
        {...(status === "AWAITING_INPUT"
          ? { label: t.answer, placeholder: t.answerAgent }
          : isOver
            ? { placeholder: t.followUp }
            : { label: t.message, placeholder: t.steer })}
        isSending={say.isSending || asking.asked !== undefined}
        onSend={send}
      >
        {!isOver && status !== "AWAITING_INPUT" && <ModePicker value={mode} onChange={setMode} />}
      </Composer>
    </Stack>
  );
});

/** Says something to a run; where another run answers, goes to that one. */
function useSay() {
  const [continueRun, { loading: isAnswering }] = useAskContinueMutation({ context: { outbox: true } });
  const [sendInput, { loading: isSaying }] = useAskSayMutation({ context: { outbox: true } });
  const [, navigate] = useLocation();
  const notify = useNotify();
  return {
    isSending: isAnswering || isSaying,
    answer: (runId: string, input: string) => {
      continueRun({ variables: { runId, input } }).catch(notify.error);
    },
    say: (runId: string, input: string, mode: Mode) => {
      sendInput({ variables: { runId, input, mode } })
        .then(({ data }) => {
          if (data && data.sendRunInput.id !== runId) navigate(`/ask/${data.sendRunInput.id}`);
        })
        .catch(notify.error);
    },
  };
}
