import { Checkbox, TextInput } from "@mantine/core";
import { useState } from "react";
import { useSettingsCreateWebhookMutation } from "../../generated/settings/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { FormDialog } from "../../parts/form-dialog.tsx";
import { messages } from "./messages.ts";

interface WebhookDialogProps {
  readonly onCreated: (secret: string) => void;
  readonly onClose: () => void;
}

/** Where to send, and what the receiver promises of repeats. */
export function WebhookDialog({ onCreated, onClose }: WebhookDialogProps) {
  const t = useMessages(messages);
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [honoursIdempotencyKeys, setHonours] = useState(false);
  const [idempotencyKey] = useState(() => crypto.randomUUID());
  const [isTried, setTried] = useState(false);
  const [create, { loading, error }] = useSettingsCreateWebhookMutation({
    refetchQueries: ["SettingsWebhooks"],
    awaitRefetchQueries: true,
  });
  const isMissing = name.trim() === "" || url.trim() === "";
  const submit = async (): Promise<void> => {
    setTried(true);
    if (isMissing) return;
    const input = { name: name.trim(), url: url.trim(), honoursIdempotencyKeys, idempotencyKey };
    const made = await create({ variables: { input } }).catch(() => undefined);
    if (!made?.data) return;
    onClose();
    onCreated(made.data.createWebhookEndpoint.secret);
  };
  return (
    <FormDialog
      title={t.createWebhook}
      action={t.createWebhook}
      cancel={t.cancel}
      isBusy={loading}
      error={error}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextInput
        label={t.name}
        description={t.webhookNameText}
        maxLength={60}
        data-autofocus
        value={name}
        error={isTried && name.trim() === "" ? t.needsName : undefined}
        onChange={({ currentTarget }) => {
          setName(currentTarget.value);
        }}
      />
      <TextInput
        type="url"
        label={t.url}
        description={t.urlText}
        placeholder="https://"
        value={url}
        error={isTried && url.trim() === "" ? t.needsUrl : undefined}
        onChange={({ currentTarget }) => {
          setUrl(currentTarget.value);
        }}
      />
      <Checkbox
        label={t.honours}
        description={t.honoursText}
        checked={honoursIdempotencyKeys}
        onChange={({ currentTarget }) => {
          setHonours(currentTarget.checked);
        }}
      />
    </FormDialog>
  );
}
