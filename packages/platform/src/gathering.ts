/** Rows that wait to be written together, by what writes them, in the order in which writers were first given some. */
export interface Gathering<Writer> {
  /** Rows wait from now on. */
  begin(): void;
  /** Written at once unless rows wait. */
  add(writer: Writer, rows: readonly unknown[]): void;
  /** Writes what waits. */
  send(): void;
  /** Writes what waits; what comes later does not wait. */
  end(): void;
}

export function openGathering<Writer>(write: (writer: Writer, rows: readonly unknown[]) => void): Gathering<Writer> {
  const waiting = new Map<Writer, unknown[]>();
  let begun = false;

  const send = (): void => {
    const sent = [...waiting];
    // What a writer issues must not send them again.
    waiting.clear();
    for (const [writer, rows] of sent) write(writer, rows);
  };

  return {
    send,
    begin: () => {
      begun = true;
    },
    add: (writer, rows) => {
      const earlier = waiting.get(writer);
      if (rows.length === 0) return;
      if (!begun) write(writer, rows);
      else if (earlier) earlier.push(...rows);
      else waiting.set(writer, [...rows]);
    },
    end: () => {
      send();
      begun = false;
    },
  };
}
