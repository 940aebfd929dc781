import { lazy, Suspense } from "react";
import classes from "./markdown.module.css";
import type { MarkdownProps } from "./rendered.tsx";

const load = () => import("./rendered.tsx");
const Rendered = lazy(loadWhenOnline);

/** Loads the renderer ahead of its need. */
export function preloadMarkdown(): void {
  load().catch(() => undefined);
}

/** What was asked offline is answered when the network is back, and so is this: until then the bare text is shown. */
async function loadWhenOnline(): ReturnType<typeof load> {
  for (;;)
    try {
      return await load();
    } catch {
      await new Promise((resolve) => {
        window.addEventListener("online", resolve, { once: true });
      });
    }
}

/** Markdown, rendered without anything that runs or loads; the bare text until the renderer is here. */
export function Markdown(props: MarkdownProps) {
  return (
    <Suspense fallback={<div className={classes["plain"]}>{props.text}</div>}>
      <Rendered {...props} />
    </Suspense>
  );
}
