import { Badge, Box, Button, Checkbox, Group, Modal, Paper, SegmentedControl, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { Link } from "wouter";
import { usePages } from "../../data/use-pages.ts";
import type { DocumentStatus, KnowledgeDocumentsQuery } from "../../generated/knowledge/graphql.ts";
import { useKnowledgeDocumentsQuery, useKnowledgeRemoveDocumentsMutation } from "../../generated/knowledge/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { ErrorNotice, useNotify } from "../../parts/error-notice.tsx";
import { IconFiles, IconTrash } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { usePermission } from "../../session/permission.tsx";
import type { Collection } from "./collections.tsx";
import classes from "./knowledge.module.css";
import { messages } from "./messages.ts";
import { documentPath } from "./paths.ts";

type Document = KnowledgeDocumentsQuery["collection"]["documents"]["edges"][number]["node"];
type Filter = DocumentStatus | "ALL";

/** At most as many are removed at once. */
const MAX_SELECTED = 100;

export function Documents({ collection }: { readonly collection: Collection }) {
  const t = useMessages(messages);
  const mayWrite = usePermission("knowledge:write");
  const [filter, setFilter] = useState<Filter>("ALL");
  const [selected, setSelected] = useState<readonly string[]>([]);
  const result = useKnowledgeDocumentsQuery({
    variables: { id: collection.id, ...(filter === "ALL" ? {} : { status: filter }) },
    fetchPolicy: "cache-and-network",
  });
  const pages = usePages(result, (data) => data.collection.documents);
  const there = selected.filter((id) => pages.items.some((document) => document.id === id));
  const toggle = (id: string, isOn: boolean): void => {
    setSelected(isOn ? [...there, id].slice(0, MAX_SELECTED) : there.filter((each) => each !== id));
  };
  return (
    <Stack component="section" aria-label={t.documentsTitle}>
      <Group justify="space-between" gap="sm">
        <Title order={2} size="h4">
          {t.documentsTitle}
        </Title>
        {there.length > 0 && (
          <RemoveDocuments collectionId={collection.id} ids={there} onRemoved={() => setSelected([])} />
        )}
      </Group>
      {collection.documentCount > 0 && <StatusFilter collection={collection} filter={filter} onChange={setFilter} />}
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => pages.items.length === 0}
        empty={<NoDocuments isFiltered={filter !== "ALL"} mayWrite={mayWrite} />}
      >
        {() => (
          <Paper withBorder radius="lg" px="md" component="ul" className={classes["list"]}>
            {pages.items.map((document) => (
              <DocumentRow
                key={document.id}
                document={document}
                isSelected={there.includes(document.id)}
                onSelect={mayWrite ? (isOn) => toggle(document.id, isOn) : undefined}
              />
            ))}
          </Paper>
        )}
      </QueryState>
      <LoadMore pages={pages} />
    </Stack>
  );
}

function NoDocuments({ isFiltered, mayWrite }: { readonly isFiltered: boolean; readonly mayWrite: boolean }) {
  const t = useMessages(messages);
  const icon = <IconFiles size={28} />;
  if (isFiltered) return <EmptyState icon={icon} title={t.noneOfStatus} text={t.noneOfStatusText} />;
  return <EmptyState icon={icon} title={t.noDocuments} text={mayWrite ? t.noDocumentsText : t.noDocumentsViewer} />;
}

interface StatusFilterProps {
  readonly collection: Collection;
  readonly filter: Filter;
  readonly onChange: (filter: Filter) => void;
}

function StatusFilter({
  collection: { documentCount, pendingCount, failedCount },
  filter,
  onChange,
}: StatusFilterProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const ready = documentCount - pendingCount - failedCount;
  const label = (name: string, count: number): string => `${name} ${format.quantity(count)}`;
  return (
    <div className={classes["toggle"]}>
      <SegmentedControl
        size="xs"
        value={filter}
        aria-label={t.status}
        onChange={(value) => {
          onChange(value);
        }}
        data={[
          { value: "ALL", label: label(t.all, documentCount) },
          { value: "READY", label: label(t.readyFilter, ready) },
          { value: "PENDING", label: label(t.pendingFilter, pendingCount) },
          { value: "FAILED", label: label(t.failedFilter, failedCount) },
        ]}
      />
    </div>
  );
}

interface DocumentRowProps {
  readonly document: Document;
  readonly isSelected: boolean;
  readonly onSelect: ((isOn: boolean) => void) | undefined;
}

function DocumentRow({ document, isSelected, onSelect }: DocumentRowProps) {
  const t = useMessages(messages);
  const format = useFormat();
  const { id, title: given, status, warning, failure, chunkCount, updatedAt } = document;
  const title = given === "" ? t.untitled : given;
  return (
    <Group component="li" className={classes["row"]} wrap="nowrap" align="flex-start" gap="sm">
      {onSelect && (
        <Checkbox
          mt={2}
          checked={isSelected}
          aria-label={t.select(title)}
          onChange={({ currentTarget }) => {
            onSelect(currentTarget.checked);
          }}
        />
      )}
      <Box className={classes["grow"]}>
        <Link href={documentPath(id)} className={classes["title"]}>
          {title}
        </Link>
        <Text size="xs" c="dimmed">
          {t.passages(chunkCount)} · {t.updated(format.relative(updatedAt))}
        </Text>
        <DocumentProblems warning={warning} failure={failure} />
      </Box>
      <StatusBadge status={status} />
    </Group>
  );
}

export function DocumentProblems({ warning, failure }: Pick<Document, "warning" | "failure">) {
  return (
    <>
      {failure !== null && (
        <Text size="sm" c="var(--mantine-color-error)">
          {failure}
        </Text>
      )}
      {failure === null && warning !== null && (
        <Text size="sm" c="dimmed">
          {warning}
        </Text>
      )}
    </>
  );
}

const COLOURS: Readonly<Record<DocumentStatus, string>> = { READY: "teal", PENDING: "brand", FAILED: "red" };

export function StatusBadge({ status }: { readonly status: DocumentStatus }) {
  const t = useMessages(messages);
  return (
    <Badge variant="dot" color={COLOURS[status]} tt="none" className={classes["fixed"]}>
      {t[status]}
    </Badge>
  );
}

interface RemoveDocumentsProps {
  readonly collectionId: string;
  readonly ids: readonly string[];
  readonly onRemoved: () => void;
}

function RemoveDocuments({ collectionId, ids, onRemoved }: RemoveDocumentsProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [isAsking, { open, close }] = useDisclosure(false);
  const [remove, { loading, error, reset }] = useKnowledgeRemoveDocumentsMutation({
    refetchQueries: ["KnowledgeDocuments"],
    awaitRefetchQueries: true,
  });
  const leave = (): void => {
    reset();
    close();
  };
  const submit = async (): Promise<void> => {
    const { data } = await remove({ variables: { collectionId, documentIds: [...ids] } }).catch(() => ({
      data: undefined,
    }));
    if (!data) return;
    leave();
    notify.success(t.removed(data.removeDocuments.removedDocumentIds.length));
    onRemoved();
  };
  return (
    <>
      <Button variant="default" size="xs" leftSection={<IconTrash size={16} />} onClick={open}>
        {t.removeSelected(ids.length)}
      </Button>
      <Modal
        opened={isAsking}
        onClose={leave}
        title={t.removeTitle(ids.length)}
        closeButtonProps={{ "aria-label": t.cancel }}
      >
        <Stack>
          <Text>{t.removeText}</Text>
          {error && <ErrorNotice error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={leave} data-autofocus>
              {t.cancel}
            </Button>
            <Button color="red.8" loading={loading} onClick={() => void submit()}>
              {t.remove}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
