import { toApiError, type Client } from "@sba/client";
import { operationIn } from "./operations.ts";

/** The console's side of the explorer in its frame: it asks the API in its place, so that no token goes there. */

export interface ExplorerProps {
  readonly forcedTheme?: "light" | "dark";
  readonly query?: string;
}

export interface Host {
  /** Changes what the explorer shows. */
  show(props: ExplorerProps): void;
  /** Ends what it listens to. */
  close(): void;
}

interface Asked {
  readonly id: number;
  readonly stop?: true;
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string | null;
}

/** Answers the explorer in a frame that has been loaded. */
export function openHost(client: Client, frame: Window, props: ExplorerProps): Host {
  const { port1: port, port2 } = new MessageChannel();
  const open = new Map<number, AbortController>();
  port.onmessage = ({ data }: MessageEvent<Asked>) => {
    if (data.stop) {
      open.get(data.id)?.abort();
      open.delete(data.id);
      return;
    }
    const leaving = new AbortController();
    open.set(data.id, leaving);
    const send = (message: object): void => {
      if (!leaving.signal.aborted) port.postMessage({ id: data.id, ...message });
    };
    void answer(client, data, leaving.signal, send)
      .catch((error: unknown) => {
        send({ error: toApiError(error).message });
      })
      .finally(() => open.delete(data.id));
  };
  frame.postMessage({ props }, window.location.origin, [port2]);
  return {
    show: (changed) => {
      port.postMessage({ props: changed });
    },
    close: () => {
      for (const leaving of open.values()) leaving.abort();
      port.close();
    },
  };
}

async function answer(
  client: Client,
  { query, variables = {}, operationName }: Asked,
  signal: AbortSignal,
  send: (message: object) => void,
): Promise<void> {
  const { document, type } = operationIn(query, operationName ?? undefined);
  if (type === "subscription")
    for await (const result of client.raw.subscribe(document, variables, { signal })) send({ result });
  else send({ result: await client.raw.execute(document, variables, signal) });
  send({ isDone: true });
}
