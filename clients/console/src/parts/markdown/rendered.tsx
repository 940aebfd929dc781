import { Table, Typography } from "@mantine/core";
import { memo, useMemo } from "react";
import { useThrottled } from "./use-throttled.ts";
import ReactMarkdown, { type Components, type Options } from "react-markdown";
import remarkGfm from "remark-gfm";
import { blocksOf } from "./blocks.ts";
import { remarkCitations } from "./citations.ts";
import classes from "./markdown.module.css";

export interface MarkdownProps {
  readonly text: string;
  /** What a citation marker opens; those of which it knows nothing are shown, and open nothing. */
  readonly citation?: ((number: number) => (() => void) | undefined) | undefined;
  /** The name of such a marker for those who hear it. */
  readonly citationLabel?: ((number: number) => string) | undefined;
}

/** While a text is being written it is rendered anew at most so often; the longer it is, the longer that takes. */
const MIN_PAUSE_MS = 40;
const CHARACTERS_A_MS = 40;
const PLUGINS: Options["remarkPlugins"] = [remarkGfm, remarkCitations];

/** Markdown without raw HTML, images from elsewhere, or scripts: models write what they like. */
export default function Rendered({ text, citation, citationLabel }: MarkdownProps) {
  const shown = useThrottled(text, MIN_PAUSE_MS + text.length / CHARACTERS_A_MS);
  const components = useMemo(() => componentsOf(citation, citationLabel), [citation, citationLabel]);
  return (
    <Typography className={classes["prose"]}>
      {blocksOf(shown).map((block, index) => (
        <Block key={index} text={block} components={components} />
      ))}
    </Typography>
  );
}

const Block = memo(function Block({ text, components }: { readonly text: string; readonly components: Components }) {
  return (
    <ReactMarkdown skipHtml remarkPlugins={PLUGINS} components={components}>
      {text}
    </ReactMarkdown>
  );
});

function componentsOf(citation: MarkdownProps["citation"], label: MarkdownProps["citationLabel"]): Components {
  return {
    // The page has its headings; those of a text begin below them.
    h1: ({ children }) => <h3>{children}</h3>,
    h2: ({ children }) => <h4>{children}</h4>,
    h3: ({ children }) => <h5>{children}</h5>,
    a: ({ href, children }) => (
      <a href={href} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    ),
    // What a text shows from elsewhere would tell that somebody reads it.
    img: ({ alt }) => <span>{alt}</span>,
    table: ({ children }) => (
      <Table.ScrollContainer minWidth={320}>
        <Table withTableBorder>{children}</Table>
      </Table.ScrollContainer>
    ),
    cite: ({ node }) => {
      const number = Number(node?.properties["dataNumber"]);
      const open = citation?.(number);
      return open ? (
        <button type="button" className={classes["citation"]} onClick={open} aria-label={label?.(number)}>
          {number}
        </button>
      ) : (
        <sup className={classes["marker"]}>{number}</sup>
      );
    },
  };
}
