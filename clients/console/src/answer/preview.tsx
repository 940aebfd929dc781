import type { ApolloClient } from "@apollo/client";
import { useApolloClient } from "@apollo/client/react";
import { Code, Image, Modal, Text } from "@mantine/core";
import { useEffect, useState } from "react";
import { useMessages } from "../i18n/messages.ts";
import { Markdown } from "../parts/markdown/markdown.tsx";
import { messages as parts } from "../parts/messages.ts";
import { QueryState } from "../parts/query-state.tsx";
import { kindOf, linkTo, type Artifact } from "./artifact.ts";
import classes from "./answer.module.css";
import { messages } from "./messages.ts";

/** More than that nobody reads in a window, and no window likes to show. */
const MAX_PREVIEW_BYTES = 1_000_000;

type Content =
  { readonly kind: "markdown" | "text"; readonly text: string } | { readonly kind: "image"; readonly url: string };

export default function Preview({
  artifact,
  onClose,
}: {
  readonly artifact: Artifact | undefined;
  readonly onClose: () => void;
}) {
  const shared = useMessages(parts);
  return (
    <Modal
      opened={artifact !== undefined}
      onClose={onClose}
      size="xl"
      title={<Text fw={600}>{artifact?.name}</Text>}
      closeButtonProps={{ "aria-label": shared.close }}
    >
      {artifact && <PreviewContent artifact={artifact} />}
    </Modal>
  );
}

function PreviewContent({ artifact }: { readonly artifact: Artifact }) {
  const t = useMessages(messages);
  const apollo = useApolloClient();
  const [attempt, setAttempt] = useState(0);
  const [{ content, error }, setState] = useState<{ readonly content?: Content; readonly error?: unknown }>({});
  const isTooLarge = Number(artifact.sizeBytes) > MAX_PREVIEW_BYTES;
  useEffect(() => {
    if (isTooLarge) return undefined;
    const leaving = new AbortController();
    setState({});
    read(apollo, artifact, leaving.signal).then(
      (read) => {
        if (!leaving.signal.aborted) setState({ content: read });
      },
      (thrown: unknown) => {
        if (!leaving.signal.aborted) setState({ error: thrown });
      },
    );
    return () => {
      leaving.abort();
    };
  }, [apollo, artifact, attempt, isTooLarge]);
  if (isTooLarge) return <Text>{t.tooLarge}</Text>;
  return (
    <QueryState
      data={content}
      error={error}
      onRetry={() => {
        setAttempt(attempt + 1);
      }}
    >
      {(shown) => <Shown content={shown} name={artifact.name} />}
    </QueryState>
  );
}

function Shown({ content, name }: { readonly content: Content; readonly name: string }) {
  if (content.kind === "image") return <Image src={content.url} alt={name} fit="contain" />;
  if (content.kind === "markdown") return <Markdown text={content.text} />;
  return (
    <Code block className={classes["code"]}>
      {content.text}
    </Code>
  );
}

async function read(apollo: ApolloClient, artifact: Artifact, signal: AbortSignal): Promise<Content> {
  const response = await fetch(await linkTo(apollo, artifact), { signal });
  if (!response.ok) throw new Error(`The file answered ${response.status}.`);
  const kind = kindOf(artifact.mediaType) ?? "text";
  if (kind !== "image") return { kind, text: await response.text() };
  const blob = await response.blob();
  return { kind, url: await dataUrlOf(blob) };
}

function dataUrlOf(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      resolve(reader.result as string);
    };
    reader.onerror = () => {
      reject(new Error("The file cannot be read."));
    };
    reader.readAsDataURL(blob);
  });
}
