import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { useLocation } from "wouter";
import type { WorkflowsListQuery } from "../../generated/workflows/graphql.ts";
import { useWorkflowsStartMutation } from "../../generated/workflows/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { ErrorNotice, useNotify } from "../../parts/error-notice.tsx";
import { IconPlayerPlay } from "../../parts/icons.ts";
import { inputFieldsOf, inputOf, type InputField } from "./input.ts";
import { messages } from "./messages.ts";

export type Workflow = WorkflowsListQuery["workflows"]["edges"][number]["node"];

/** Starts a workflow with what its steps ask for. */
export function Start({ workflow }: { readonly workflow: Workflow }) {
  const t = useMessages(messages);
  const [isOpen, { open, close }] = useDisclosure(false);
  return (
    <>
      <Button size="sm" leftSection={<IconPlayerPlay size={16} />} onClick={open}>
        {t.start}
      </Button>
      <Modal opened={isOpen} onClose={close} title={t.startTitle(workflow.name)} centered withCloseButton={false}>
        <StartForm workflow={workflow} onCancel={close} />
      </Modal>
    </>
  );
}

function StartForm({ workflow, onCancel }: { readonly workflow: Workflow; readonly onCancel: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [, navigate] = useLocation();
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const [wasTried, setWasTried] = useState(false);
  const [start, { loading, error }] = useWorkflowsStartMutation({ context: { outbox: true } });
  const fields = inputFieldsOf(workflow.version.steps);
  const input = inputOf(fields, texts);
  const send = async (): Promise<void> => {
    setWasTried(true);
    if (input.wrong.length > 0) return;
    const { data } = await start({ variables: { workflowKey: workflow.key, input: input.value } });
    if (!data) return;
    notify.success(t.started);
    navigate(`/workflows/${data.startWorkflowRun.id}`);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        // The error is shown in the form.
        send().catch(() => undefined);
      }}
      noValidate
    >
      <Stack>
        {fields.length === 0 && <Text c="dimmed">{t.noInput}</Text>}
        {fields.map((field) => (
          <Field
            key={field.name}
            field={field}
            value={texts[field.name] ?? ""}
            isWrong={wasTried && input.wrong.includes(field.name)}
            onChange={(text) => {
              setTexts((before) => ({ ...before, [field.name]: text }));
            }}
          />
        ))}
        {error && <ErrorNotice error={error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onCancel}>
            {t.cancel}
          </Button>
          <Button type="submit" loading={loading}>
            {t.start}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface FieldProps {
  readonly field: InputField;
  readonly value: string;
  readonly isWrong: boolean;
  readonly onChange: (text: string) => void;
}

function Field({ field: { name, isJson }, value, isWrong, onChange }: FieldProps) {
  const t = useMessages(messages);
  return (
    <Textarea
      label={name}
      description={isJson ? t.json : undefined}
      required
      autosize
      minRows={1}
      maxRows={10}
      value={value}
      error={isWrong && (isJson ? t.badJson : t.required)}
      onChange={({ currentTarget }) => {
        onChange(currentTarget.value);
      }}
    />
  );
}
