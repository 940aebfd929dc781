import { Button, Group, Modal, Stack } from "@mantine/core";
import type { ReactNode } from "react";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice } from "./error-notice.tsx";
import { messages } from "./messages.ts";

interface FormDialogProps {
  readonly title: string;
  /** What the button says that sends it. */
  readonly action: string;
  readonly cancel: string;
  readonly isBusy: boolean;
  /** Why it was refused the last time. */
  readonly error: unknown;
  readonly onSubmit: () => Promise<void>;
  readonly onClose: () => void;
  /** The fields. */
  readonly children: ReactNode;
}

/** A form over the page, sent by its button or Enter. Shown while it is rendered. */
export function FormDialog({ title, action, cancel, isBusy, error, onSubmit, onClose, children }: FormDialogProps) {
  const { close } = useMessages(messages);
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ "aria-label": close }}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void onSubmit();
        }}
      >
        <Stack gap="md">
          {children}
          {error !== undefined && error !== null && <ErrorNotice error={error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {cancel}
            </Button>
            <Button type="submit" loading={isBusy}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
