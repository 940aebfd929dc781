import { useCallback } from "react";
import { useMessages } from "../i18n/messages.ts";
import { numbersIn } from "../parts/markdown/citations.ts";
import { Markdown } from "../parts/markdown/markdown.tsx";
import { messages } from "./messages.ts";
import type { Citation, Source } from "./source.tsx";

const NONE: readonly Source[] = [];

/**
 * The citations of a run by the numbers of its answer: they are in the order of their first mention. Where an answer names one
 * that is no source, nobody can say which is which: they are numbered by themselves, and no marker opens one.
 */
export function sourcesOf(text: string, citations: readonly Citation[]): readonly Source[] {
  // The same nothing each time: while an answer is being written, what is rendered of it stays.
  if (citations.length === 0) return NONE;
  const numbers = numbersIn(text);
  const isExact = numbers.length === citations.length;
  return citations.map((citation, index) => ({
    citation,
    number: (isExact ? numbers[index] : undefined) ?? index + 1,
  }));
}

interface AnswerProps {
  readonly text: string;
  readonly sources: readonly Source[];
  readonly onOpen: (source: Source) => void;
}

export function Answer({ text, sources, onOpen }: AnswerProps) {
  const t = useMessages(messages);
  const find = useCallback((number: number) => sources.find((source) => source.number === number), [sources]);
  const citation = useCallback(
    (number: number) => {
      const source = find(number);
      return source && (() => onOpen(source));
    },
    [find, onOpen],
  );
  const label = useCallback(
    (number: number) => t.openSource(number, find(number)?.citation.document?.title ?? t.unknownDocument),
    [find, t],
  );
  return <Markdown text={text} citation={citation} citationLabel={label} />;
}
