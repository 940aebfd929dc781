import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { usePauseRunMutation, useResumeRunMutation } from "@sba/client/react";
import { useState } from "react";
import { Link } from "wouter";
import { useRunsCancelMutation } from "../../../generated/runs/hooks.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { useNotify } from "../../../parts/error-notice.tsx";
import {
  IconMessageCircle,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerStop,
  IconPlayerTrackNext,
} from "../../../parts/icons.ts";
import { usePermission } from "../../../session/permission.tsx";
import { ENDED } from "../status.tsx";
import { messages } from "./messages.ts";

interface RunActionsProps {
  readonly runId: string;
  readonly status: string;
}

/** What may be done to the run as it is now, by whoever may. */
export function RunActions({ runId, status }: RunActionsProps) {
  const t = useMessages(messages);
  const mayStop = usePermission("run:cancel") && !ENDED.has(status) && status !== "CANCELLING";
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

/** Asked twice: what was stopped does not go on again. */
function CancelButton({ runId }: { readonly runId: string }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [isAsking, { open, close }] = useDisclosure(false);
  const [reason, setReason] = useState("");
  const [cancel, { loading }] = useRunsCancelMutation();
  const stop = async (): Promise<void> => {
    await cancel({ variables: { runId, ...(reason === "" ? {} : { reason }) } });
    close();
    notify.success(t.cancelled);
  };
  return (
    <>
      <Button color="red" variant="light" leftSection={<IconPlayerStop size={16} />} onClick={open}>
        {t.cancel}
      </Button>
      <Modal opened={isAsking} onClose={close} title={t.cancelTitle} centered withCloseButton={false}>
        <Stack>
          <Text>{t.cancelText}</Text>
          <Textarea
            label={t.reason}
            value={reason}
            maxLength={1_000}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.keep}
            </Button>
            <Button
              color="red.8"
              loading={loading}
              onClick={() => {
                stop().catch(notify.error);
              }}
            >
              {t.cancel}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
