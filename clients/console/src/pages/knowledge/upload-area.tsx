import { useApolloClient } from "@apollo/client/react";
import { Button, FileButton, Group, Stack, Text } from "@mantine/core";
import { useEffect, useState, useSyncExternalStore, type DragEvent } from "react";
import { useKnowledgeLimitsQuery } from "../../generated/knowledge/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconUpload } from "../../parts/icons.ts";
import { ENDINGS } from "./files.ts";
import classes from "./knowledge.module.css";
import { messages } from "./messages.ts";
import { UploadList } from "./upload-list.tsx";
import { uploadsOf } from "./uploads.ts";

/** Where files are dropped or chosen, and what becomes of them. */
export function UploadArea({ collectionId }: { readonly collectionId: string }) {
  const uploads = uploadsOf(useApolloClient());
  const { data } = useKnowledgeLimitsQuery();
  const list = useSyncExternalStore(uploads.subscribe, uploads.get).filter(
    (each) => each.collectionId === collectionId,
  );
  useWarningBeforeLeaving(list.some(({ state }) => state.step === "WAITING" || state.step === "SENDING"));
  const limits = data?.uploadLimits;
  return (
    <Stack>
      <DropZone
        maxBytes={limits?.maxBytes}
        onFiles={(files) => {
          if (limits && files.length > 0) uploads.add(collectionId, files, limits);
        }}
      />
      {list.length > 0 && <UploadList uploads={uploads} list={list} maxBytes={limits?.maxBytes ?? 0} />}
    </Stack>
  );
}

interface DropZoneProps {
  readonly maxBytes: number | undefined;
  readonly onFiles: (files: readonly File[]) => void;
}

function DropZone({ maxBytes, onFiles }: DropZoneProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const [isOver, setOver] = useState(false);
  const over = (event: DragEvent): void => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <div
      className={`${classes["drop"] ?? ""} ${isOver ? (classes["over"] ?? "") : ""}`}
      data-testid="drop"
      onDragOver={over}
      onDragEnter={over}
      onDragLeave={() => {
        setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        onFiles([...event.dataTransfer.files]);
      }}
    >
      <Group gap="md" justify="space-between">
        <Group gap="md" wrap="nowrap" className={classes["dropText"]}>
          <IconUpload size={28} stroke={1.6} aria-hidden className={classes["fixed"]} />
          <div>
            <Text fw={600}>{isOver ? t.dropNow : t.dropTitle}</Text>
            <Text size="sm" c="dimmed">
              {t.dropText(format.bytes(maxBytes ?? 0))}
            </Text>
          </div>
        </Group>
        <FileButton multiple accept={ENDINGS} onChange={(files) => onFiles(files)} disabled={maxBytes === undefined}>
          {(props) => <Button {...props}>{t.choose}</Button>}
        </FileButton>
      </Group>
    </div>
  );
}

/** The browser asks whoever closes the tab while files are being sent: they would not arrive. */
function useWarningBeforeLeaving(isBusy: boolean): void {
  useEffect(() => {
    if (!isBusy) return;
    const warn = (event: BeforeUnloadEvent): void => {
      event.preventDefault();
    };
    window.addEventListener("beforeunload", warn);
    return () => {
      window.removeEventListener("beforeunload", warn);
    };
  }, [isBusy]);
}
