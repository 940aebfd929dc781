import { useApolloClient } from "@apollo/client/react";
import { ActionIcon, Button, Group, Modal, Stack, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState, useSyncExternalStore } from "react";
import { useLocation } from "wouter";
import { useKnowledgeCollectionQuery, useKnowledgeDeleteCollectionMutation } from "../../generated/knowledge/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { ErrorNotice, useNotify } from "../../parts/error-notice.tsx";
import { IconTrash } from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { Allowed } from "../../session/permission.tsx";
import { CollectionFacts, type Collection } from "./collections.tsx";
import { Documents } from "./documents.tsx";
import { messages } from "./messages.ts";
import { SearchBox, SearchResults, useSearch } from "./search.tsx";
import { UploadArea } from "./upload-area.tsx";
import { AddedElsewhere } from "./upload-list.tsx";
import { uploadsOf } from "./uploads.ts";

/** One collection: what is in it, and what comes into it. */
export function CollectionView({ id }: { readonly id: string }) {
  const t = useMessages(messages);
  const [query, search] = useSearch();
  const result = useKnowledgeCollectionQuery({ variables: { id }, fetchPolicy: "cache-and-network" });
  const collection = result.data?.collection;
  const back = { href: "/knowledge", label: t.back };
  const actions = collection && (
    <Allowed to="knowledge:write">
      <DeleteCollection collection={collection} />
    </Allowed>
  );
  return (
    <Page back={back} title={collection?.name ?? t.title} actions={actions}>
      <QueryState data={collection} error={result.error} onRetry={() => void result.refetch()} back={back}>
        {(shown) => (
          <Stack gap="lg">
            <CollectionFacts collection={shown} />
            <SearchBox label={t.searchIn(shown.name)} query={query} onSearch={search} />
            {query === "" ? (
              <>
                <Allowed to="knowledge:write">
                  <UploadArea collectionId={shown.id} />
                </Allowed>
                <OthersAdding collection={shown} />
                <Documents collection={shown} />
              </>
            ) : (
              <SearchResults
                query={query}
                collectionId={shown.id}
                backLabel={t.clearSearchHere}
                onBack={() => {
                  search("");
                }}
              />
            )}
          </Stack>
        )}
      </QueryState>
    </Page>
  );
}

/** What is on its way and was not begun here. */
function OthersAdding({ collection: { lastIngestion } }: { readonly collection: Collection }) {
  const uploads = uploadsOf(useApolloClient());
  const list = useSyncExternalStore(uploads.subscribe, uploads.get);
  const isOver = lastIngestion?.status === "COMPLETED" || lastIngestion?.status === "FAILED";
  const isOurs = list.some(({ state }) => state.step === "SENT" && state.ingestionId === lastIngestion?.id);
  return !lastIngestion || isOver || isOurs ? null : <AddedElsewhere ingestionId={lastIngestion.id} />;
}

function DeleteCollection({ collection: { id, name, documentCount } }: { readonly collection: Collection }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [, navigate] = useLocation();
  const [isAsking, { open, close }] = useDisclosure(false);
  const [error, setError] = useState<unknown>();
  const [remove, { loading, client }] = useKnowledgeDeleteCollectionMutation();
  const submit = async (): Promise<void> => {
    setError(undefined);
    try {
      await remove({ variables: { collectionId: id } });
    } catch (thrown) {
      setError(thrown);
      return;
    }
    close();
    notify.success(t.deleted(name));
    navigate("/knowledge", { replace: true });
    // Lists leave out what is not there; this page would ask for it again.
    setTimeout(() => {
      client.cache.evict({ id: `Collection:${id}` });
    });
  };
  return (
    <>
      <Tooltip label={t.deleteCollection}>
        <ActionIcon variant="default" size={36} aria-label={t.deleteCollection} onClick={open}>
          <IconTrash size={18} />
        </ActionIcon>
      </Tooltip>
      <Modal
        opened={isAsking}
        onClose={close}
        title={t.deleteTitle(name)}
        closeButtonProps={{ "aria-label": t.cancel }}
      >
        <Stack>
          <Text>{t.deleteText(documentCount)}</Text>
          {error !== undefined && <ErrorNotice error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={close} data-autofocus>
              {t.cancel}
            </Button>
            <Button color="red.8" loading={loading} onClick={() => void submit()}>
              {t.deleteNow}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
