import { skipToken, useApolloClient } from "@apollo/client/react";
import { Badge, Box, Button, Group, Stack, Text } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { usePages } from "../../data/use-pages.ts";
import type { KnowledgeDocumentQuery } from "../../generated/knowledge/graphql.ts";
import { KnowledgeOriginalDocument } from "../../generated/knowledge/graphql.ts";
import {
  useKnowledgeDocumentQuery,
  useKnowledgePassagesQuery,
  useKnowledgeSearchQuery,
} from "../../generated/knowledge/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconChevronUp, IconDownload, IconExternalLink, IconFileText } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { Page } from "../../parts/page.tsx";
import { QueryState } from "../../parts/query-state.tsx";
import { DocumentProblems, StatusBadge } from "./documents.tsx";
import classes from "./knowledge.module.css";
import { Marked } from "./marked.tsx";
import { messages } from "./messages.ts";
import { toBlocks, type Block, type TextRange } from "./passages.ts";
import { collectionPath } from "./paths.ts";

type Document = KnowledgeDocumentQuery["document"];

/** Passages that are shown before the one that somebody looks for, and added at a time. */
const LEAD = 2;
const STEP = 20;

/** A document as it is searched, at the passage that led here. */
export function DocumentView({ id }: { readonly id: string }) {
  const t = useMessages(messages);
  const [parameters] = useSearchParams();
  const sought = Number(parameters.get("passage")) || undefined;
  const query = parameters.get("q") ?? "";
  const result = useKnowledgeDocumentQuery({ variables: { id }, fetchPolicy: "cache-and-network" });
  const document = result.data?.document;
  const title = document?.title === "" ? t.untitled : document?.title;
  return (
    <Page
      title={title ?? t.title}
      width="narrow"
      actions={document && <Originals document={document} />}
      back={
        document?.collection && { href: pathOf(document.collection, query), label: t.backTo(document.collection.name) }
      }
    >
      <QueryState
        data={document}
        error={result.error}
        onRetry={() => void result.refetch()}
        back={{ href: "/knowledge", label: t.back }}
      >
        {(shown) => (
          <Stack>
            <Facts document={shown} />
            {shown.chunkCount > 0 ? (
              <Passages document={shown} sought={sought} query={query} />
            ) : (
              <NoText document={shown} />
            )}
          </Stack>
        )}
      </QueryState>
    </Page>
  );
}

/** Where the document is; who came from a search finds it there again. */
function pathOf({ id }: NonNullable<Document["collection"]>, query: string): string {
  return `${collectionPath(id)}${query === "" ? "" : `?${new URLSearchParams({ q: query }).toString()}`}`;
}

/** The document as it was given, and where it came from. A link to it is good for a minute: it is made when it is wanted. */
function Originals({ document: { id, uri } }: { readonly document: Document }) {
  const t = useMessages(messages);
  const apollo = useApolloClient();
  const notify = useNotify();
  const [isLoading, setLoading] = useState(false);
  const download = async (): Promise<void> => {
    setLoading(true);
    try {
      const options = { query: KnowledgeOriginalDocument, variables: { id }, fetchPolicy: "no-cache" } as const;
      const { data } = await apollo.query(options);
      if (data) window.location.assign(data.document.downloadUrl);
    } catch (error) {
      notify.error(error);
    } finally {
      setLoading(false);
    }
  };
  return (
    <Group gap="xs">
      {uri !== null && (
        <Button
          component="a"
          href={uri}
          target="_blank"
          rel="noreferrer"
          variant="default"
          size="sm"
          leftSection={<IconExternalLink size={16} />}
        >
          {t.original}
        </Button>
      )}
      <Button
        variant="default"
        size="sm"
        leftSection={<IconDownload size={16} />}
        loading={isLoading}
        onClick={() => void download()}
      >
        {t.download}
      </Button>
    </Group>
  );
}

function Facts({ document }: { readonly document: Document }) {
  const t = useMessages(messages);
  const format = useFormat();
  return (
    <div>
      <Group gap="xs">
        <StatusBadge status={document.status} />
        <Text size="sm" c="dimmed">
          {document.mediaType} · {t.passages(document.chunkCount)} · {t.updated(format.relative(document.updatedAt))}
        </Text>
      </Group>
      <DocumentProblems warning={document.warning} failure={document.failure} />
    </div>
  );
}

function NoText({ document: { status } }: { readonly document: Document }) {
  const t = useMessages(messages);
  const icon = <IconFileText size={28} />;
  if (status === "PENDING") return <EmptyState icon={icon} title={t.pendingDocument} text={t.pendingDocumentText} />;
  return <EmptyState icon={icon} title={t.emptyDocument} text={t.emptyDocumentText} />;
}

interface PassagesProps {
  readonly document: Document;
  readonly sought: number | undefined;
  readonly query: string;
}

function Passages({ document, sought, query }: PassagesProps) {
  const t = useMessages(messages);
  const [first, setFirst] = useState(Math.max(1, (sought ?? 1) - LEAD));
  const result = useKnowledgePassagesQuery({ variables: { id: document.id, from: first } });
  const pages = usePages(result, (data) => data.document.chunks);
  const rangesOf = useHighlights(document, query);
  const soughtNumber = sought !== undefined && sought <= document.chunkCount ? sought : undefined;
  return (
    <Stack component="section" aria-label={t.text} gap="xs">
      {first > 1 && (
        <Group>
          <Button
            variant="subtle"
            size="compact-md"
            leftSection={<IconChevronUp size={16} />}
            onClick={() => {
              setFirst(Math.max(1, first - STEP));
            }}
          >
            {t.earlier}
          </Button>
        </Group>
      )}
      <QueryState data={result.data ?? result.previousData} error={result.error} onRetry={() => void result.refetch()}>
        {() =>
          toBlocks(pages.items, soughtNumber).map((block) => (
            <Passage
              key={block.passage.id}
              block={block}
              isSought={block.passage.number === soughtNumber && soughtNumber !== undefined}
              ranges={rangesOf(block.passage.id)}
            />
          ))
        }
      </QueryState>
      <LoadMore pages={pages} />
    </Stack>
  );
}

const NO_RANGES: readonly TextRange[] = [];

/** Where the words of the search stand, in the passage that it found. */
function useHighlights({ id, collection }: Document, query: string): (passageId: string) => readonly TextRange[] {
  const { data } = useKnowledgeSearchQuery(
    query === "" ? skipToken : { variables: { query, ...(collection ? { collectionIds: [collection.id] } : {}) } },
  );
  const hit = data?.searchKnowledge.hits.find(({ document }) => document.id === id);
  return (passageId) => (hit?.chunk.id === passageId ? hit.highlights : NO_RANGES);
}

interface PassageProps {
  readonly block: Block;
  readonly isSought: boolean;
  readonly ranges: readonly TextRange[];
}

function Passage({ block: { passage, from, to }, isSought, ranges }: PassageProps) {
  const t = useMessages(messages);
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isSought) ref.current?.scrollIntoView({ block: "center" });
  }, [isSought]);
  return (
    <Box
      ref={ref}
      className={`${classes["passage"] ?? ""} ${isSought ? (classes["sought"] ?? "") : ""}`}
      aria-current={isSought ? "location" : undefined}
    >
      {isSought && (
        <Badge variant="light" tt="none" mb={6}>
          {t.found}
        </Badge>
      )}
      <Text component="div" className={classes["text"]}>
        <Marked text={passage.text} ranges={ranges} from={from} to={to} />
      </Text>
    </Box>
  );
}
