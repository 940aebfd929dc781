import { skipToken } from "@apollo/client/react";
import { Anchor, Blockquote, Drawer, Group, Mark, Stack, Text } from "@mantine/core";
import { useAnswerPassageQuery } from "../generated/answer/hooks.ts";
import { useMessages } from "../i18n/messages.ts";
import { IconExternalLink, IconFileText } from "../parts/icons.ts";
import { messages as parts } from "../parts/messages.ts";
import { Lines, QueryState } from "../parts/query-state.tsx";
import classes from "./answer.module.css";
import { messages } from "./messages.ts";
import type { Citation, Source } from "./source.tsx";

/** The passage that a claim rests on, its words marked, in a drawer beside the answer. */
export default function SourceDrawer({
  source,
  onClose,
}: {
  readonly source: Source | undefined;
  readonly onClose: () => void;
}) {
  const t = useMessages(messages);
  const shared = useMessages(parts);
  return (
    <Drawer
      opened={source !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={source && <Text fw={600}>{t.source(source.number)}</Text>}
      closeButtonProps={{ "aria-label": shared.close }}
    >
      {source && <Passage citation={source.citation} />}
    </Drawer>
  );
}

function Passage({ citation }: { readonly citation: Citation }) {
  const t = useMessages(messages);
  const id = citation.chunk?.id;
  const { data, error, refetch } = useAnswerPassageQuery(id === undefined ? skipToken : { variables: { id } });
  const title = citation.document?.title ?? t.unknownDocument;
  if (id === undefined) return <Gone title={title} quote={citation.quote} />;
  return (
    <QueryState data={data} error={error} onRetry={() => void refetch()} skeleton={<Lines count={8} />}>
      {({ node }) =>
        node?.__typename === "Chunk" ? (
          <Stack gap="md">
            <Group gap="sm" wrap="nowrap" align="flex-start">
              <IconFileText size={20} aria-hidden />
              <div>
                <Text fw={600}>{node.document.title}</Text>
                <Text size="sm" c="dimmed">
                  {[node.document.collection && t.inCollection(node.document.collection.name), ...node.headings]
                    .filter(Boolean)
                    .join(" › ")}
                </Text>
              </div>
            </Group>
            <Text className={classes["passage"]}>
              <Marked text={node.text} quote={citation.quote} />
            </Text>
            {isWeb(node.document.uri) && (
              <Anchor href={node.document.uri} target="_blank" rel="noopener noreferrer" size="sm">
                {t.original} <IconExternalLink size={14} aria-hidden />
              </Anchor>
            )}
          </Stack>
        ) : (
          <Gone title={title} quote={citation.quote} />
        )
      }
    </QueryState>
  );
}

/** What the run has kept of it. */
function Gone({ title, quote }: { readonly title: string; readonly quote: string }) {
  const t = useMessages(messages);
  return (
    <Stack gap="md">
      <Text fw={600}>{title}</Text>
      <Blockquote p="md">{quote}</Blockquote>
      <Text size="sm" c="dimmed">
        {t.passageGone}
      </Text>
    </Stack>
  );
}

function Marked({ text, quote }: { readonly text: string; readonly quote: string }) {
  const at = text.indexOf(quote);
  if (quote === "" || at < 0) return text;
  return (
    <>
      {text.slice(0, at)}
      <Mark color="yellow">{quote}</Mark>
      {text.slice(at + quote.length)}
    </>
  );
}

function isWeb(uri: string | null): uri is string {
  return uri !== null && /^https?:\/\//.test(uri);
}
