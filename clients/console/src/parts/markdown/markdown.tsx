import { lazy, Suspense } from "react";
import classes from "./markdown.module.css";
import type { MarkdownProps } from "./rendered.tsx";

const load = () => import("./rendered.tsx");
const Rendered = lazy(load);

/** Loads the renderer ahead of its need. */
export function preloadMarkdown(): void {
  void load();
}

/** Markdown, rendered without anything that runs or loads; the bare text until the renderer is here. */
export function Markdown(props: MarkdownProps) {
  return (
    <Suspense fallback={<div className={classes["plain"]}>{props.text}</div>}>
      <Rendered {...props} />
    </Suspense>
  );
}
