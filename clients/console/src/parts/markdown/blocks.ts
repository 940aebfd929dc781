/**
 * A Markdown text in parts that can be rendered one by one: while a text is still being written only its last part changes, and
 * the others are not rendered again. Parts end at blank lines, but not within a fenced code block, nor before what is indented
 * or goes on with a list.
 */
export function blocksOf(text: string): readonly string[] {
  const blocks: string[] = [];
  let block: string[] = [];
  let fence: string | undefined;
  const lines = text.split("\n");
  lines.forEach((line, index) => {
    const [, mark = ""] = /^ {0,3}(`{3,}|~{3,})/.exec(line) ?? [];
    if (fence === undefined && mark !== "") fence = mark;
    else if (fence !== undefined && mark.startsWith(fence)) fence = undefined;
    block.push(line);
    const isBreak = fence === undefined && line.trim() === "" && startsBlock(lines[index + 1], block);
    if (!isBreak) return;
    blocks.push(block.join("\n"));
    block = [];
  });
  if (block.length > 0) blocks.push(block.join("\n"));
  return blocks.filter((each) => each.trim() !== "");
}

const LIST_ITEM = /^ {0,3}([-*+]|\d{1,9}[.)])\s/;

function startsBlock(next: string | undefined, block: readonly string[]): boolean {
  if (next === undefined || next.trim() === "" || /^\s/.test(next)) return false;
  return !(LIST_ITEM.test(next) && LIST_ITEM.test(block[0] ?? ""));
}
