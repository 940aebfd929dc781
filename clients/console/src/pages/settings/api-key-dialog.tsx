import { MultiSelect, NativeSelect, TextInput } from "@mantine/core";
import { useCreateApiKeyMutation } from "@sba/client/react";
import { useState } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { FormDialog } from "../../parts/form-dialog.tsx";
import { useMe } from "../../session/permission.tsx";
import { messages } from "./messages.ts";

/** In days; 0 for never. */
const LIVES = [30, 90, 365, 0] as const;
const DAY_MS = 86_400_000;

interface ApiKeyDialogProps {
  readonly onCreated: (secret: string) => void;
  readonly onClose: () => void;
}

/** A key with permissions of one's own, never more. */
export function ApiKeyDialog({ onCreated, onClose }: ApiKeyDialogProps) {
  const t = useMessages(messages);
  const held = useMe().permissions;
  const [name, setName] = useState("");
  const [permissions, setPermissions] = useState<string[]>([]);
  const [days, setDays] = useState<number>(LIVES[1]);
  const [isTried, setTried] = useState(false);
  // The same key for every attempt: one that was made, and whose answer was lost, is not made twice.
  const [{ idempotencyKey, openedAtMs }] = useState(() => ({
    idempotencyKey: crypto.randomUUID(),
    openedAtMs: Date.now(),
  }));
  const [create, { loading, error }] = useCreateApiKeyMutation({
    refetchQueries: ["SettingsApiKeys"],
    awaitRefetchQueries: true,
  });
  const submit = async (): Promise<void> => {
    setTried(true);
    if (name.trim() === "" || permissions.length === 0) return;
    const expiresAt = days === 0 ? null : new Date(openedAtMs + days * DAY_MS).toISOString();
    const variables = { name: name.trim(), permissions, expiresAt, idempotencyKey };
    const made = await create({ variables }).catch(() => undefined);
    const key = made?.data?.createApiKey.key;
    if (key === undefined || key === null) return;
    onClose();
    onCreated(key);
  };
  return (
    <FormDialog
      title={t.createKey}
      action={t.createKey}
      cancel={t.cancel}
      isBusy={loading}
      error={error}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextInput
        label={t.name}
        description={t.keyNameText}
        maxLength={100}
        data-autofocus
        value={name}
        error={isTried && name.trim() === "" ? t.needsName : undefined}
        onChange={({ currentTarget }) => {
          setName(currentTarget.value);
        }}
      />
      <MultiSelect
        label={t.permissions}
        description={t.permissionsText}
        data={[...held].sort()}
        searchable
        clearable
        clearButtonProps={{ "aria-label": t.clear }}
        value={permissions}
        error={isTried && permissions.length === 0 ? t.needsPermission : undefined}
        onChange={setPermissions}
      />
      <NativeSelect
        label={t.endsAt}
        value={String(days)}
        data={LIVES.map((each) => ({ value: String(each), label: each === 0 ? t.never : t.inDays(each) }))}
        onChange={({ currentTarget }) => {
          setDays(Number(currentTarget.value));
        }}
      />
    </FormDialog>
  );
}
