/** Citation markers of an answer, `[2]` or `[1, 3]`, as the platform reads them (`subgraphs/agent/src/model/citations.ts`). */

// Not a Markdown link's text, [1](https://...), nor a link reference, [1]: https://...
const MARKER = /\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\](?![(:])/g;

/** The numbers that a text names, each once, in the order of their first mention: that is the order of a run's citations. */
export function numbersIn(text: string): readonly number[] {
  const numbers = [...text.matchAll(MARKER)].flatMap(([, list = ""]) => list.split(",").map(Number));
  return [...new Set(numbers)];
}

interface Node {
  readonly type: string;
  readonly value?: string;
  children?: Node[];
  readonly data?: unknown;
}

/** A remark plugin: each marker becomes `<cite data-number>`, which the renderer shows as a button. */
export function remarkCitations() {
  return (tree: Node): void => {
    markIn(tree);
  };
}

const LEFT_ALONE: ReadonlySet<string> = new Set(["link", "linkReference", "code", "inlineCode"]);

function markIn(node: Node): void {
  if (!node.children || LEFT_ALONE.has(node.type)) return;
  node.children = node.children.flatMap((child) => {
    if (child.type === "text") return split(child.value ?? "");
    markIn(child);
    return [child];
  });
}

function split(text: string): Node[] {
  const nodes: Node[] = [];
  let at = 0;
  for (const match of text.matchAll(MARKER)) {
    if (match.index > at) nodes.push({ type: "text", value: text.slice(at, match.index) });
    for (const number of (match[1] ?? "").split(",").map(Number))
      nodes.push({
        type: "citation",
        data: {
          hName: "cite",
          hProperties: { dataNumber: String(number) },
          hChildren: [{ type: "text", value: String(number) }],
        },
      });
    at = match.index + match[0].length;
  }
  if (at < text.length) nodes.push({ type: "text", value: text.slice(at) });
  return nodes;
}
