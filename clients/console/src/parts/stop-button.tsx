import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { useMessages } from "../i18n/messages.ts";
import { useNotify } from "./error-notice.tsx";
import { IconPlayerStop } from "./icons.ts";
import { messages } from "./messages.ts";

interface StopButtonProps {
  /** What becomes of what it has done and begun. */
  readonly text: string;
  /** What is said when it was asked to stop. */
  readonly done: string;
  readonly isBusy: boolean;
  readonly onStop: (given: { readonly reason?: string }) => Promise<unknown>;
}

/** Stops work that is under way, with a reason or without. Asked twice: what was stopped does not go on again. */
export function StopButton({ text, done, isBusy, onStop }: StopButtonProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [isAsking, { open, close }] = useDisclosure(false);
  const [reason, setReason] = useState("");
  const stop = async (): Promise<void> => {
    await onStop(reason === "" ? {} : { reason });
    close();
    notify.success(done);
  };
  return (
    <>
      <Button color="red" variant="light" leftSection={<IconPlayerStop size={16} />} onClick={open}>
        {t.stop}
      </Button>
      <Modal opened={isAsking} onClose={close} title={t.stopTitle} centered withCloseButton={false}>
        <Stack>
          <Text>{text}</Text>
          <Textarea
            label={t.stopReason}
            value={reason}
            maxLength={1_000}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.stopKeep}
            </Button>
            <Button
              color="red.8"
              loading={isBusy}
              onClick={() => {
                stop().catch(notify.error);
              }}
            >
              {t.stop}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
