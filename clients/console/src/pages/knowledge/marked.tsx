import { Mark } from "@mantine/core";
import { toPieces, type TextRange } from "./passages.ts";

interface MarkedProps {
  readonly text: string;
  readonly ranges: readonly TextRange[];
  readonly from?: number;
  readonly to?: number;
}

/** A part of a text with what was asked for marked. */
export function Marked({ text, ranges, from, to }: MarkedProps) {
  return toPieces(text, ranges, from, to).map((piece, index) =>
    piece.isMarked ? <Mark key={index}>{piece.text}</Mark> : <span key={index}>{piece.text}</span>,
  );
}
