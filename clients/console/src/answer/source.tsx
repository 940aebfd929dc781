import { Stack, Text, UnstyledButton } from "@mantine/core";
import type { RunLive } from "@sba/client";
import { lazy, Suspense, useState } from "react";
import { useMessages } from "../i18n/messages.ts";
import classes from "./answer.module.css";
import { messages } from "./messages.ts";

export type Citation = RunLive["run"]["citations"][number];

/** A citation, by the number that the answer gives it. */
export interface Source {
  readonly number: number;
  readonly citation: Citation;
}

interface SourcesProps {
  readonly sources: readonly Source[];
  readonly onOpen: (source: Source) => void;
}

/** Below an answer: what it rests on. */
export function Sources({ sources, onOpen }: SourcesProps) {
  const t = useMessages(messages);
  if (sources.length === 0) return null;
  return (
    <section aria-label={t.sources}>
      <Text size="xs" fw={600} c="dimmed" tt="uppercase" mb={6}>
        {t.sources}
      </Text>
      <Stack gap={6} component="ul" className={classes["list"]}>
        {sources.map((source) => (
          <li key={source.number}>
            <UnstyledButton
              className={classes["source"]}
              onClick={() => {
                onOpen(source);
              }}
            >
              <span className={classes["number"]}>{source.number}</span>
              <span className={classes["grow"]}>
                <Text size="sm" fw={500} lineClamp={1}>
                  {source.citation.document?.title ?? t.unknownDocument}
                </Text>
                <Text size="xs" c="dimmed" lineClamp={2}>
                  {source.citation.quote}
                </Text>
              </span>
            </UnstyledButton>
          </li>
        ))}
      </Stack>
    </section>
  );
}

// Loaded with the first source that is opened.
const Drawer = lazy(() => import("./source-drawer.tsx"));

export function SourceDrawer({
  source,
  onClose,
}: {
  readonly source: Source | undefined;
  readonly onClose: () => void;
}) {
  const [wasOpened, setWasOpened] = useState(false);
  if (source && !wasOpened) setWasOpened(true);
  return (
    wasOpened && (
      <Suspense fallback={null}>
        <Drawer source={source} onClose={onClose} />
      </Suspense>
    )
  );
}
