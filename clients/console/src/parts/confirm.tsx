import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice } from "./error-notice.tsx";
import { messages } from "./messages.ts";

interface ConfirmProps {
  readonly title: string;
  /** What it does, and whether it can be taken back. */
  readonly text: ReactNode;
  /** What the button says that does it: the verb. */
  readonly action: string;
  readonly cancel: string;
  /** Whether what it needs, such as a reason, is there. */
  readonly isReady?: boolean;
  readonly onConfirm: () => Promise<unknown>;
  readonly onClose: () => void;
}

/** Asks before something is done that cannot be taken back; what fails is said in it. Shown while it is rendered. */
export function Confirm({ title, text, action, cancel, isReady = true, onConfirm, onClose }: ConfirmProps) {
  const { close } = useMessages(messages);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const confirm = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ "aria-label": close }}>
      <Stack gap="md">
        <Text size="sm" component="div">
          {text}
        </Text>
        {error !== undefined && <ErrorNotice error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {cancel}
          </Button>
          <Button color="red.8" loading={isBusy} disabled={!isReady} onClick={() => void confirm()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
