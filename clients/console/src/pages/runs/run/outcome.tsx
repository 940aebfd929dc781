import { Stack, Text } from "@mantine/core";
import type { RunLive } from "@sba/client";
import { useMemo, useState } from "react";
import { isEnded } from "../../../data/is-ended.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { Section } from "../../../parts/section.tsx";
import { Answer, sourcesOf } from "../../../answer/answer.tsx";
import { Artifacts } from "../../../answer/artifacts.tsx";
import { SourceDrawer, Sources, type Source } from "../../../answer/source.tsx";
import classes from "../runs.module.css";
import type { RunDetail } from "./detail.ts";
import { messages } from "./messages.ts";

interface OutcomeProps {
  readonly run: RunDetail;
  readonly live: RunLive;
}

/** What was asked and what came of it: the answer, what it rests on, and files. */
export function Outcome({ run: { prompt }, live }: OutcomeProps) {
  const t = useMessages(messages);
  const [source, setSource] = useState<Source>();
  const { status, output, citations } = live.run;
  const answer = output ?? live.text;
  const sources = useMemo(() => sourcesOf(answer, citations), [answer, citations]);
  return (
    <Section title={t.answer}>
      <Stack gap="md" className={classes["text"]}>
        <div>
          <Text size="sm" c="dimmed">
            {t.prompt}
          </Text>
          <Text className={classes["prompt"]}>{prompt}</Text>
        </div>
        {answer === "" ? (
          <Text c="dimmed">{isEnded(status) ? t.answerNone : t.answerComing}</Text>
        ) : (
          <Answer text={answer} sources={sources} onOpen={setSource} />
        )}
        <Sources sources={sources} onOpen={setSource} />
        <Artifacts artifacts={live.artifacts} />
      </Stack>
      <SourceDrawer
        source={source}
        onClose={() => {
          setSource(undefined);
        }}
      />
    </Section>
  );
}
