import { Badge, Button, Group, Modal, Paper, SimpleGrid, Stack, Text, TextInput, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { usePages } from "../../data/use-pages.ts";
import type { KnowledgeCollectionFieldsFragment } from "../../generated/knowledge/graphql.ts";
import { useKnowledgeCollectionsQuery, useKnowledgeCreateCollectionMutation } from "../../generated/knowledge/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { ErrorNotice, useNotify } from "../../parts/error-notice.tsx";
import { IconBook2, IconFolder, IconPlus } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Allowed, usePermission } from "../../session/permission.tsx";
import classes from "./knowledge.module.css";
import { messages } from "./messages.ts";
import { collectionPath } from "./paths.ts";
import { SearchBox, SearchResults, useSearch } from "./search.tsx";

export type Collection = KnowledgeCollectionFieldsFragment;

/** Every collection, and what is written in any of them. */
export function CollectionsView() {
  const t = useMessages(messages);
  const [query, search] = useSearch();
  const [isCreating, { open, close }] = useDisclosure(false);
  const create = (
    <Allowed to="knowledge:write">
      <Button leftSection={<IconPlus size={18} />} onClick={open}>
        {t.newCollection}
      </Button>
    </Allowed>
  );
  return (
    <Page title={t.title} description={t.description} actions={create}>
      <SearchBox label={t.searchLabel} query={query} onSearch={search} />
      {query === "" ? (
        <List create={create} />
      ) : (
        <SearchResults query={query} backLabel={t.clearSearch} onBack={() => search("")} />
      )}
      <CreateCollection isOpen={isCreating} onClose={close} />
    </Page>
  );
}

function List({ create }: { readonly create: React.ReactNode }) {
  const t = useMessages(messages);
  const mayWrite = usePermission("knowledge:write");
  const result = useKnowledgeCollectionsQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ collections }) => collections);
  return (
    <QueryState
      data={result.data}
      error={result.error}
      onRetry={() => void result.refetch()}
      isEmpty={() => pages.items.length === 0}
      empty={
        <EmptyState
          icon={<IconBook2 size={28} />}
          title={t.noCollections}
          text={mayWrite ? t.noCollectionsText : t.noCollectionsViewer}
          action={create}
        />
      }
    >
      {() => (
        <Stack>
          <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} component="ul" className={classes["list"]}>
            {pages.items.map((collection) => (
              <CollectionCard key={collection.id} collection={collection} />
            ))}
          </SimpleGrid>
          <LoadMore pages={pages} />
        </Stack>
      )}
    </QueryState>
  );
}

function CollectionCard({ collection }: { readonly collection: Collection }) {
  return (
    <Paper component="li" withBorder radius="lg" p="md" className={classes["card"]}>
      <Group wrap="nowrap" align="flex-start" gap="sm">
        <IconFolder size={24} stroke={1.6} aria-hidden className={classes["fixed"]} />
        <div className={classes["grow"]}>
          <Title order={2} size="h5" lineClamp={2}>
            <Link href={collectionPath(collection.id)} className={classes["cover"]}>
              {collection.name}
            </Link>
          </Title>
          <CollectionFacts collection={collection} />
        </div>
      </Group>
    </Paper>
  );
}

/** How much is in it, what is wrong with it, and how old it is. */
export function CollectionFacts({ collection }: { readonly collection: Collection }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { documentCount, chunkCount, pendingCount, failedCount, lastIngestion } = collection;
  return (
    <Stack gap={6} mt={4}>
      <Text size="sm" c="dimmed">
        {t.documents(documentCount)} · {t.passages(chunkCount)} ·{" "}
        {lastIngestion ? t.lastAdded(format.relative(lastIngestion.createdAt)) : t.nothingAdded}
      </Text>
      {(pendingCount > 0 || failedCount > 0) && (
        <Group gap={6}>
          {pendingCount > 0 && (
            <Badge variant="dot" tt="none">
              {t.pending(pendingCount)}
            </Badge>
          )}
          {failedCount > 0 && (
            <Badge variant="dot" color="red" tt="none">
              {t.failed(failedCount)}
            </Badge>
          )}
        </Group>
      )}
    </Stack>
  );
}

function CreateCollection({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [key, setKey] = useState(() => crypto.randomUUID());
  const [create, { loading, error, reset }] = useKnowledgeCreateCollectionMutation();
  const close = (): void => {
    reset();
    setName("");
    onClose();
  };
  const submit = async (): Promise<void> => {
    const { data } = await create({
      variables: { name: name.trim(), idempotencyKey: key },
      refetchQueries: ["KnowledgeCollections"],
    }).catch(() => ({ data: undefined }));
    if (!data) return;
    setKey(crypto.randomUUID());
    close();
    notify.success(t.created(data.createCollection.name));
    navigate(collectionPath(data.createCollection.id));
  };
  return (
    <Modal opened={isOpen} onClose={close} title={t.newCollection} closeButtonProps={{ "aria-label": t.cancel }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack>
          <TextInput
            label={t.collectionName}
            description={t.collectionNameHint}
            value={name}
            maxLength={200}
            required
            data-autofocus
            onChange={({ currentTarget }) => {
              // Another name is another collection.
              setName(currentTarget.value);
              setKey(crypto.randomUUID());
            }}
          />
          {error && <ErrorNotice error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.cancel}
            </Button>
            <Button type="submit" loading={loading} disabled={name.trim() === ""}>
              {t.create}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
