import { useApolloClient } from "@apollo/client/react";
import { Anchor, Blockquote, Button, Group, Stack, Text } from "@mantine/core";
import type { RunLive, RunLiveArtifact } from "@sba/client";
import { Link } from "wouter";
import { RunsArtifactDocument } from "../../../generated/runs/graphql.ts";
import { useFormat } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { useNotify } from "../../../parts/error-notice.tsx";
import { IconDownload, IconFileText } from "../../../parts/icons.ts";
import { usePermission } from "../../../session/permission.tsx";
import classes from "../runs.module.css";
import { ENDED } from "../status.tsx";
import { messages } from "./messages.ts";
import type { RunDetail } from "./detail.ts";
import { Section } from "../../../parts/section.tsx";

interface OutcomeProps {
  readonly run: RunDetail;
  readonly live: RunLive;
}

/** What was asked and what came of it. */
export function Outcome({ run: { prompt }, live }: OutcomeProps) {
  const t = useMessages(messages);
  const { status, output, citations } = live.run;
  const answer = output ?? live.text;
  return (
    <Section title={t.answer}>
      <Stack gap="md">
        <div>
          <Text size="sm" c="dimmed">
            {t.prompt}
          </Text>
          <Text className={classes["text"]}>{prompt}</Text>
        </div>
        {answer === "" ? (
          <Text c="dimmed">{ENDED.has(status) ? t.answerNone : t.answerComing}</Text>
        ) : (
          <Text className={classes["text"]} aria-busy={!ENDED.has(status)}>
            {answer}
          </Text>
        )}
        <Citations citations={citations} />
        <Files artifacts={live.artifacts} />
      </Stack>
    </Section>
  );
}

function Citations({ citations }: { readonly citations: RunLive["run"]["citations"] }) {
  const t = useMessages(messages);
  const mayRead = usePermission("knowledge:read");
  if (citations.length === 0) return null;
  return (
    <div>
      <Text size="sm" c="dimmed" mb={6}>
        {t.citations}
      </Text>
      <Stack gap="xs">
        {citations.map(({ quote, document, chunk }, index) => (
          <Blockquote key={chunk?.id ?? index} p="sm" radius="md" className={classes["quote"]}>
            <Text size="sm" className={classes["text"]}>
              {quote}
            </Text>
            {document && (
              <Text size="sm" c="dimmed" mt={4}>
                {mayRead ? (
                  <Anchor component={Link} href={`/knowledge/documents/${document.id}`}>
                    {document.title}
                  </Anchor>
                ) : (
                  document.title
                )}
              </Text>
            )}
          </Blockquote>
        ))}
      </Stack>
    </div>
  );
}

function Files({ artifacts }: { readonly artifacts: readonly RunLiveArtifact[] }) {
  const t = useMessages(messages);
  if (artifacts.length === 0) return null;
  return (
    <div>
      <Text size="sm" c="dimmed" mb={6}>
        {t.files}
      </Text>
      <Stack gap="xs">
        {artifacts.map((artifact) => (
          <FileRow key={artifact.id} artifact={artifact} />
        ))}
      </Stack>
    </div>
  );
}

function FileRow({ artifact: { id, name, mediaType, sizeBytes } }: { readonly artifact: RunLiveArtifact }) {
  const t = useMessages(messages);
  const format = useFormat();
  const apollo = useApolloClient();
  const notify = useNotify();
  const download = async (): Promise<void> => {
    const { data } = await apollo.query({ query: RunsArtifactDocument, variables: { id }, fetchPolicy: "no-cache" });
    if (data?.node?.__typename !== "Artifact") return;
    const link = document.createElement("a");
    // Its host may be another name of this one.
    link.href = new URL(data.node.downloadUrl, window.location.href).pathname;
    link.download = name;
    link.click();
  };
  return (
    <Group gap="sm" wrap="nowrap" className={classes["file"]}>
      <IconFileText size={20} aria-hidden />
      <div className={classes["rowMain"]}>
        <Text size="sm" fw={600} truncate title={name}>
          {name}
        </Text>
        <Text size="xs" c="dimmed">
          {mediaType} · {format.bytes(sizeBytes)}
        </Text>
      </div>
      <Button
        size="xs"
        variant="light"
        leftSection={<IconDownload size={14} />}
        onClick={() => {
          download().catch(notify.error);
        }}
      >
        {t.download}
      </Button>
    </Group>
  );
}
