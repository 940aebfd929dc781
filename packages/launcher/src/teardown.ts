/** Thrown out of a start that is stopped half-way; nobody has to handle it. */
export class StartStopped extends Error {
  override readonly name = "StartStopped";
}

/** What was started and how to end it: the last first. */
export interface Teardown {
  readonly stopping: boolean;
  /**
   * Starts something together with its end. When the system is stopping by then, it is ended at once.
   * @throws StartStopped when the system is stopping.
   */
  hold<T>(start: () => T | Promise<T>, stop?: (thing: T) => void | Promise<void>): Promise<T>;
  /** Is called as soon as the system stops, before anything is ended. */
  onStopping(action: () => void): void;
  /** Ends everything, once; whoever calls again waits for the same end. */
  stop(): Promise<void>;
}

export function openTeardown(): Teardown {
  const actions: (() => void)[] = [];
  const ends: (() => void | Promise<void>)[] = [];
  const underWay = new Set<Promise<unknown>>();
  let stopped: Promise<void> | undefined;

  async function stopAll(): Promise<void> {
    for (const action of actions) action();
    // What is just being started cannot be ended before it is there.
    await Promise.allSettled(underWay);
    for (let end = ends.pop(); end; end = ends.pop()) await end();
  }

  return {
    get stopping() {
      return stopped !== undefined;
    },
    async hold(start, stop = () => undefined) {
      if (stopped) throw new StartStopped();
      const holding = (async () => {
        const thing = await start();
        ends.push(() => stop(thing));
        return thing;
      })();
      underWay.add(holding);
      const thing = await holding.finally(() => underWay.delete(holding));
      if (stopped) throw new StartStopped();
      return thing;
    },
    onStopping: (action) => {
      actions.push(action);
    },
    stop() {
      stopped ??= stopAll();
      return stopped;
    },
  };
}
