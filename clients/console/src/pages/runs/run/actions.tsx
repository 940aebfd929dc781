import { Button, Group } from "@mantine/core";
import { usePauseRunMutation, useResumeRunMutation } from "@sba/client/react";
import { Link } from "wouter";
import { isEnded } from "../../../data/is-ended.ts";
import { useRunsCancelMutation } from "../../../generated/runs/hooks.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { useNotify } from "../../../parts/error-notice.tsx";
import { IconMessageCircle, IconPlayerPause, IconPlayerPlay, IconPlayerTrackNext } from "../../../parts/icons.ts";
import { StopButton } from "../../../parts/stop-button.tsx";
import { usePermission } from "../../../session/permission.tsx";
import { messages } from "./messages.ts";

interface RunActionsProps {
  readonly runId: string;
  readonly status: string;
}

/** What may be done to the run as it is now, by whoever may. */
export function RunActions({ runId, status }: RunActionsProps) {
  const t = useMessages(messages);
  const mayStop = usePermission("run:cancel") && !isEnded(status) && status !== "CANCELLING";
  return (
    <Group gap="xs">
      <Button
        component={Link}
        href={`/runs/${runId}/replay`}
        variant="default"
        leftSection={<IconPlayerTrackNext size={16} />}
      >
        {t.replay}
      </Button>
      <Button component={Link} href={`/ask/${runId}`} variant="default" leftSection={<IconMessageCircle size={16} />}>
        {t.openAsk}
      </Button>
      {mayStop && <PauseButton runId={runId} isPaused={status === "PAUSED"} />}
      {mayStop && <CancelButton runId={runId} />}
    </Group>
  );
}

function PauseButton({ runId, isPaused }: { readonly runId: string; readonly isPaused: boolean }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [pause, pausing] = usePauseRunMutation();
  const [resume, resuming] = useResumeRunMutation();
  const change = async (): Promise<void> => {
    await (isPaused ? resume : pause)({ variables: { runId } });
    notify.success(isPaused ? t.resumed : t.paused);
  };
  return (
    <Button
      variant="default"
      leftSection={isPaused ? <IconPlayerPlay size={16} /> : <IconPlayerPause size={16} />}
      loading={pausing.loading || resuming.loading}
      onClick={() => {
        change().catch(notify.error);
      }}
    >
      {isPaused ? t.resume : t.pause}
    </Button>
  );
}

function CancelButton({ runId }: { readonly runId: string }) {
  const t = useMessages(messages);
  const [cancel, { loading }] = useRunsCancelMutation();
  return (
    <StopButton
      text={t.cancelText}
      done={t.cancelled}
      isBusy={loading}
      onStop={(given) => cancel({ variables: { runId, ...given } })}
    />
  );
}
