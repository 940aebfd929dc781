import { useApolloClient } from "@apollo/client/react";
import { Button, Group, Loader, Paper, Progress, Text } from "@mantine/core";
import { toApiError } from "@sba/client";
import { useIngestionLive } from "@sba/client/react";
import { useEffect, type ReactNode } from "react";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconAlertTriangle, IconCheck, IconFileText } from "../../parts/icons.ts";
import classes from "./knowledge.module.css";
import { messages } from "./messages.ts";
import type { FileUpload, Uploads } from "./uploads.ts";

interface UploadListProps {
  readonly uploads: Uploads;
  readonly list: readonly FileUpload[];
  readonly maxBytes: number;
}

/** What becomes of each file: sent, read, found, or why not. */
export function UploadList({ uploads, list, maxBytes }: UploadListProps) {
  const t = useMessages(messages);
  const byIngestion = Map.groupBy(list, ({ state }) => (state.step === "SENT" ? state.ingestionId : undefined));
  const isBusy = list.some(({ state }) => state.step === "WAITING" || state.step === "SENDING");
  return (
    <Paper withBorder radius="lg" px="md" py={4} component="section" aria-label={t.uploads}>
      {[...byIngestion].map(([ingestionId, files]) =>
        ingestionId === undefined ? (
          files.map((file) => <OnTheWay key={file.id} file={file} uploads={uploads} maxBytes={maxBytes} />)
        ) : (
          <BeingRead key={ingestionId} ingestionId={ingestionId} files={files} />
        ),
      )}
      {!isBusy && (
        <Group justify="flex-end" py="xs">
          <Button
            variant="subtle"
            size="compact-sm"
            onClick={() => {
              uploads.forget(list.map(({ id }) => id));
            }}
          >
            {t.clearDone}
          </Button>
        </Group>
      )}
    </Paper>
  );
}

interface RowProps {
  readonly file: FileUpload;
  readonly icon: ReactNode;
  readonly children: ReactNode;
  readonly aside?: ReactNode;
}

function Row({ file, icon, children, aside }: RowProps) {
  const format = useFormat();
  return (
    <Group className={classes["row"]} wrap="nowrap" gap="sm" data-upload={file.name}>
      {icon}
      <div className={classes["grow"]}>
        <Text size="sm" fw={550}>
          {file.name}{" "}
          <Text span size="xs" c="dimmed" fw={400}>
            {format.bytes(file.sizeBytes)}
          </Text>
        </Text>
        {children}
      </div>
      {aside}
    </Group>
  );
}

const waits = <IconFileText size={20} stroke={1.6} aria-hidden className={classes["fixed"]} />;
const isDone = <IconCheck size={20} aria-hidden className={classes["fixed"]} color="var(--mantine-color-teal-7)" />;
const isWrong = (
  <IconAlertTriangle size={20} aria-hidden className={classes["fixed"]} color="var(--mantine-color-error)" />
);

interface OnTheWayProps {
  readonly file: FileUpload;
  readonly uploads: Uploads;
  readonly maxBytes: number;
}

function OnTheWay({ file, uploads, maxBytes }: OnTheWayProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { state } = file;
  const stop = (
    <Button variant="subtle" size="compact-sm" onClick={() => uploads.stop(file.id)}>
      {t.stop}
    </Button>
  );
  switch (state.step) {
    case "WAITING":
      return (
        <Row file={file} icon={waits} aside={stop}>
          <Text size="sm" c="dimmed">
            {t.waiting}
          </Text>
        </Row>
      );
    case "SENDING":
      return (
        <Row file={file} icon={<Loader size={20} className={classes["fixed"] ?? ""} aria-hidden />} aside={stop}>
          <Text size="sm" c="dimmed">
            {t.sending} {state.share > 0 && format.percent(state.share)}
          </Text>
          <Progress value={state.share * 100} size="sm" mt={4} aria-label={t.progress(file.name)} />
        </Row>
      );
    case "REFUSED":
      return (
        <Row file={file} icon={isWrong}>
          <Problem>{state.why === "refusedSize" ? t.refusedSize(format.bytes(maxBytes)) : t[state.why]}</Problem>
        </Row>
      );
    case "FAILED":
      return (
        <Row
          file={file}
          icon={isWrong}
          aside={
            <Button variant="default" size="compact-sm" onClick={() => uploads.retry(file.id)}>
              {t.tryAgain}
            </Button>
          }
        >
          <Problem>{`${t.sendFailed} ${toApiError(state.error).message}`}</Problem>
        </Row>
      );
    case "SENT":
      return null;
  }
}

function Problem({ children }: { readonly children: ReactNode }) {
  return (
    <Text size="sm" c="var(--mantine-color-error)" role="alert">
      {children}
    </Text>
  );
}

interface BeingReadProps {
  readonly ingestionId: string;
  readonly files: readonly FileUpload[];
}

/** Files that were sent together, as their ingestion goes on. */
function BeingRead({ ingestionId, files }: BeingReadProps) {
  const t = useMessages(messages);
  const ingestion = useIngestion(ingestionId);
  const isEnded = ingestion?.status === "COMPLETED" || ingestion?.status === "FAILED";
  return files.map((file) => {
    const failure = ingestion?.failures.find(({ title }) => title === file.name);
    const icon = failure ? (
      isWrong
    ) : isEnded ? (
      isDone
    ) : (
      <Loader size={20} className={classes["fixed"] ?? ""} aria-hidden />
    );
    return (
      <Row key={file.id} file={file} icon={icon}>
        {failure ? (
          <Problem>{failure.message}</Problem>
        ) : (
          <Text size="sm" c="dimmed" role="status">
            {isEnded ? t.ready : t.reading}
          </Text>
        )}
      </Row>
    );
  });
}

/** An ingestion as it is now. What the page shows of the collection follows it. */
function useIngestion(ingestionId: string) {
  const apollo = useApolloClient();
  const { data } = useIngestionLive(ingestionId);
  const progress = data && `${data.status} ${data.documentsReady} ${data.documentsFailed}`;
  useEffect(() => {
    if (progress === undefined) return;
    void apollo.refetchQueries({ include: ["KnowledgeCollection", "KnowledgeDocuments"] });
  }, [apollo, progress]);
  return data;
}

/** What somebody else is adding, or this one did before the page was loaded anew. */
export function AddedElsewhere({ ingestionId }: { readonly ingestionId: string }) {
  const t = useMessages(messages);
  const ingestion = useIngestion(ingestionId);
  if (!ingestion) return null;
  const done = ingestion.documentsReady + ingestion.documentsFailed;
  return (
    <div role="status">
      <Text size="sm" c="dimmed">
        {t.addedElsewhere(ingestion.documentsReady, ingestion.documentsTotal)}
      </Text>
      <Progress value={(100 * done) / Math.max(1, ingestion.documentsTotal)} size="sm" mt={4} aria-label={t.uploads} />
    </div>
  );
}
