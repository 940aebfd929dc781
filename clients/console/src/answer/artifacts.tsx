import type { ApolloClient } from "@apollo/client";
import { useApolloClient } from "@apollo/client/react";
import { Button, Group, Paper, Stack, Text, ThemeIcon } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { useFormat } from "../i18n/format.ts";
import { useMessages } from "../i18n/messages.ts";
import { useNotify } from "../parts/error-notice.tsx";
import { IconDownload, IconEye, IconFileText } from "../parts/icons.ts";
import { kindOf, linkTo, type Artifact } from "./artifact.ts";
import classes from "./answer.module.css";
import { messages } from "./messages.ts";

// Loaded with the first file that is looked at.
const Preview = lazy(() => import("./preview.tsx"));

/** Files that a run wrote, to look at and to keep. */
export function Artifacts({ artifacts }: { readonly artifacts: readonly Artifact[] }) {
  const t = useMessages(messages);
  const [shown, setShown] = useState<Artifact>();
  const [wasShown, setWasShown] = useState(false);
  if (shown && !wasShown) setWasShown(true);
  if (artifacts.length === 0) return null;
  return (
    <section aria-label={t.files}>
      <Stack gap="xs">
        {artifacts.map((artifact) => (
          <ArtifactRow
            key={artifact.id}
            artifact={artifact}
            onPreview={() => {
              setShown(artifact);
            }}
          />
        ))}
      </Stack>
      {wasShown && (
        <Suspense fallback={null}>
          <Preview
            artifact={shown}
            onClose={() => {
              setShown(undefined);
            }}
          />
        </Suspense>
      )}
    </section>
  );
}

function ArtifactRow({ artifact, onPreview }: { readonly artifact: Artifact; readonly onPreview: () => void }) {
  const t = useMessages(messages);
  const format = useFormat();
  const apollo = useApolloClient();
  const notify = useNotify();
  return (
    <Paper withBorder radius="md" p="sm" className={classes["artifact"]}>
      <ThemeIcon variant="light" size={40} radius="md" aria-hidden>
        <IconFileText size={20} />
      </ThemeIcon>
      <div className={classes["grow"]}>
        <Text size="sm" fw={600} truncate title={artifact.name}>
          {artifact.name}
        </Text>
        <Text size="xs" c="dimmed">
          {artifact.mediaType} · {format.bytes(artifact.sizeBytes)}
        </Text>
      </div>
      <Group gap={6}>
        {kindOf(artifact.mediaType) !== undefined && (
          <Button size="xs" variant="default" leftSection={<IconEye size={14} />} onClick={onPreview}>
            {t.preview}
          </Button>
        )}
        <Button
          size="xs"
          variant="light"
          leftSection={<IconDownload size={14} />}
          onClick={() => {
            download(apollo, artifact).catch(notify.error);
          }}
        >
          {t.download}
        </Button>
      </Group>
    </Paper>
  );
}

async function download(apollo: ApolloClient, artifact: Artifact): Promise<void> {
  const link = document.createElement("a");
  link.href = await linkTo(apollo, artifact);
  link.download = artifact.name;
  link.click();
}
