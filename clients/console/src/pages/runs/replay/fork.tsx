import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { useLocation } from "wouter";
import { useRunsForkMutation } from "../../../generated/runs/hooks.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { ErrorNotice, useNotify } from "../../../parts/error-notice.tsx";
import { IconGitFork } from "../../../parts/icons.ts";
import { messages } from "./messages.ts";

/** A run of its own that goes on from an event of this one. */
export function Fork({ runId, seq }: { readonly runId: string; readonly seq: number | undefined }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [, navigate] = useLocation();
  const [isOpen, { open, close }] = useDisclosure(false);
  const [prompt, setPrompt] = useState("");
  const [fork, { loading, error }] = useRunsForkMutation({ context: { outbox: true } });
  const start = async (fromSeq: number): Promise<void> => {
    const { data } = await fork({ variables: { runId, fromSeq, ...(prompt.trim() === "" ? {} : { prompt }) } });
    if (!data) return;
    notify.success(t.forked);
    navigate(`/runs/${data.forkRun.id}`);
  };
  return (
    <>
      <Button variant="default" leftSection={<IconGitFork size={16} />} disabled={seq === undefined} onClick={open}>
        {t.fork}
      </Button>
      <Modal opened={isOpen} onClose={close} title={t.forkTitle(seq ?? 0)} centered withCloseButton={false}>
        <Stack>
          <Text>{t.forkText}</Text>
          <Textarea
            label={t.forkPrompt}
            description={t.forkPromptHint}
            value={prompt}
            autosize
            minRows={2}
            maxRows={8}
            maxLength={100_000}
            onChange={({ currentTarget }) => {
              setPrompt(currentTarget.value);
            }}
          />
          {error && <ErrorNotice error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.cancel}
            </Button>
            <Button
              loading={loading}
              onClick={() => {
                // The error is shown in the dialog.
                if (seq !== undefined) start(seq).catch(() => undefined);
              }}
            >
              {t.forkGo}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
