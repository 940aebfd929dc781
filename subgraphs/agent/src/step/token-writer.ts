import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { tokenDelta } from "../events.ts";
import { appendText } from "../run/commit.ts";

/** Text on its way to readers. Pieces are joined for a moment (the first goes at once) and committed before they are announced. */
const JOIN_FOR_MS = 40;
const JOIN_AT_MOST = 64;

export interface TokenWriter {
  write(text: string): void;
  /** Resolves when every piece written so far is committed. @throws AGENT_RUN_LEASE_LOST */
  drain(): Promise<void>;
  /** Waits for what is on its way and gives back what is not: it goes with the step's own commit. @throws AGENT_RUN_LEASE_LOST */
  close(): Promise<LastPiece>;
  /** Drops what is not on its way yet and waits for what is: nothing is appended after it resolves. */
  discard(): Promise<void>;
}

export interface LastPiece {
  /** Of this piece; one more is the index of what comes after it. */
  readonly index: number;
  /** Empty when everything was on its way. */
  readonly text: string;
}

/** Opens the text of one attempt of a step; `firstIndex` goes on from the run's earlier pieces. */
export function openTokenWriter(
  run: Pick<RunRow, "id" | "tenantId" | "fence">,
  stepNumber: number,
  firstIndex: number,
): TokenWriter {
  let index = firstIndex;
  let joined = "";
  let pieces = 0;
  let timer: NodeJS.Timeout | undefined;
  let first: NodeJS.Immediate | undefined;
  const sent: Promise<void>[] = [];

  const stopClocks = (): void => {
    clearTimeout(timer);
    clearImmediate(first);
    timer = undefined;
  };
  const send = (): void => {
    stopClocks();
    if (joined === "") return;
    const appended = appendText(run, tokenDelta({ stepNumber, index: index++, text: joined }));
    appended.catch(() => undefined); // heard by drain
    sent.push(appended);
    joined = "";
    pieces = 0;
  };

  return {
    write: (text) => {
      joined += text;
      pieces += 1;
      if (pieces >= JOIN_AT_MOST) send();
      // What is said in one breath is one piece: a short answer needs no commit of its own.
      else if (sent.length === 0) first ??= setImmediate(send);
      else timer ??= setTimeout(send, JOIN_FOR_MS);
    },
    drain: async () => {
      send();
      await Promise.all(sent);
    },
    close: async () => {
      stopClocks();
      const last = { index, text: joined };
      joined = "";
      await Promise.all(sent);
      return last;
    },
    discard: async () => {
      stopClocks();
      joined = "";
      await Promise.allSettled(sent);
    },
  };
}
