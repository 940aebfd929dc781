import { Button, Group, Paper, Stack, Text, TextInput, Title } from "@mantine/core";
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "wouter";
import type { KnowledgeSearchQuery } from "../../generated/knowledge/graphql.ts";
import { useKnowledgeSearchQuery } from "../../generated/knowledge/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { EmptyState } from "../../parts/empty-state.tsx";
import { IconArrowLeft, IconSearch } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import classes from "./knowledge.module.css";
import { Marked } from "./marked.tsx";
import { messages } from "./messages.ts";
import { excerptOf } from "./passages.ts";
import { documentPath } from "./paths.ts";

/** What is searched for, in the address: back and forward go from one search to the other. */
export function useSearch(): readonly [query: string, search: (query: string) => void] {
  const [parameters, setParameters] = useSearchParams();
  return [parameters.get("q") ?? "", (query) => setParameters(query === "" ? {} : { q: query })];
}

const MAX_QUERY_LENGTH = 4_000;

interface SearchBoxProps {
  readonly label: string;
  readonly query: string;
  readonly onSearch: (query: string) => void;
}

export function SearchBox({ label, query, onSearch }: SearchBoxProps) {
  const t = useMessages(messages);
  const [text, setText] = useState(query);
  useEffect(() => {
    setText(query);
  }, [query]);
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(text.trim());
      }}
    >
      <Group gap="xs" wrap="nowrap">
        <TextInput
          flex={1}
          type="search"
          aria-label={label}
          placeholder={label}
          leftSection={<IconSearch size={18} aria-hidden />}
          value={text}
          maxLength={MAX_QUERY_LENGTH}
          onChange={({ currentTarget }) => {
            setText(currentTarget.value);
          }}
        />
        <Button type="submit" variant="default">
          {t.search}
        </Button>
      </Group>
    </form>
  );
}

interface SearchResultsProps {
  readonly query: string;
  /** Everywhere without one. */
  readonly collectionId?: string;
  readonly backLabel: string;
  readonly onBack: () => void;
}

export function SearchResults({ query, collectionId, backLabel, onBack }: SearchResultsProps) {
  const t = useMessages(messages);
  const result = useKnowledgeSearchQuery({
    variables: { query, ...(collectionId === undefined ? {} : { collectionIds: [collectionId] }) },
    fetchPolicy: "cache-and-network",
  });
  const back = (
    <Button variant="subtle" size="compact-md" leftSection={<IconArrowLeft size={16} />} onClick={onBack}>
      {backLabel}
    </Button>
  );
  return (
    <Stack align="stretch">
      <Group justify="flex-start">{back}</Group>
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={({ searchKnowledge }) => searchKnowledge.hits.length === 0}
        empty={<EmptyState icon={<IconSearch size={28} />} title={t.noResults(query)} text={t.noResultsText} />}
      >
        {({ searchKnowledge: { hits } }) => (
          <>
            <div role="status">
              <Title order={2} size="h5">
                {t.results(hits.length, query)}
              </Title>
            </div>
            <Stack component="ol" className={classes["list"]}>
              {hits.map((hit) => (
                <HitCard key={hit.chunk.id} hit={hit} query={query} showCollection={collectionId === undefined} />
              ))}
            </Stack>
          </>
        )}
      </QueryState>
    </Stack>
  );
}

type Hit = KnowledgeSearchQuery["searchKnowledge"]["hits"][number];

interface HitCardProps {
  readonly hit: Hit;
  readonly query: string;
  readonly showCollection: boolean;
}

function HitCard({ hit: { chunk, document, highlights }, query, showCollection }: HitCardProps) {
  const t = useMessages(messages);
  const { from, to } = excerptOf(chunk.text, highlights);
  const title = document.title === "" ? t.untitled : document.title;
  const where = [
    ...(showCollection && document.collection ? [document.collection.name] : []),
    ...chunk.headings,
    ...(chunk.number === null ? [] : [t.passage(chunk.number)]),
  ];
  return (
    <Paper component="li" withBorder radius="lg" p="md" className={classes["card"]}>
      <Title order={3} size="h6">
        <Link
          href={documentPath(document.id, { passage: chunk.number, query })}
          className={classes["cover"]}
          aria-label={t.openPassage(title)}
        >
          {title}
        </Link>
      </Title>
      <Text size="xs" c="dimmed" mt={2}>
        {where.join(" › ")}
      </Text>
      <Text size="sm" mt="xs" className={classes["text"]}>
        {from > 0 && "… "}
        <Marked text={chunk.text} ranges={highlights} from={from} to={to} />
        {to < chunk.text.length && " …"}
      </Text>
    </Paper>
  );
}
