/** Rows that wait to be written together, by what writes them, in the order in which writers were first given some. */
export interface Gathering<Writer> {
  /** Rows wait from now on. */
  begin(): void;
  /** Written at once unless rows wait. Resolves with what their writer answers, for the rows of all. */
  add(writer: Writer, rows: readonly unknown[]): Promise<unknown>;
  /** Writes what waits. */
  send(): void;
  /** Writes what waits; what comes later does not wait. */
  end(): void;
}

interface Waiting {
  readonly rows: unknown[];
  readonly answer: PromiseWithResolvers<unknown>;
}

export function openGathering<Writer>(
  write: (writer: Writer, rows: readonly unknown[]) => Promise<unknown>,
): Gathering<Writer> {
  const waiting = new Map<Writer, Waiting>();
  let begun = false;

  const send = (): void => {
    const sent = [...waiting];
    // What a writer issues must not send them again.
    waiting.clear();
    for (const [writer, { rows, answer }] of sent) answer.resolve(write(writer, rows));
  };

  const wait = (writer: Writer, rows: readonly unknown[]): Promise<unknown> => {
    const earlier = waiting.get(writer);
    if (earlier) {
      earlier.rows.push(...rows);
      return earlier.answer.promise;
    }
    const answer = Promise.withResolvers<unknown>();
    answer.promise.catch(() => undefined); // heard by whoever asked for it, and by the commit
    waiting.set(writer, { rows: [...rows], answer });
    return answer.promise;
  };

  return {
    send,
    begin: () => {
      begun = true;
    },
    add: (writer, rows) => {
      if (rows.length === 0) return Promise.resolve([]);
      return begun ? wait(writer, rows) : write(writer, rows);
    },
    end: () => {
      send();
      begun = false;
    },
  };
}
