import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A model outside that says a word now and then for as long as anybody listens: what takes a while can be stopped in its middle. */
export interface SlowModel {
  /** What the system's processes have to know of it. The built-in model stays the one that agents have unless they name another. */
  readonly env: NodeJS.ProcessEnv;
  close(): Promise<void>;
}

/** Any model of the provider but the built-in one. */
export const SLOW_MODEL = "gpt-4.1";
const WORD_EVERY_MS = 20;

export async function startSlowModel(): Promise<SlowModel> {
  const server = createServer((request, response) => {
    request.resume().once("end", () => {
      speak(response);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    env: { OPENAI_API_KEY: "sk-e2e", OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_MODEL: "local" },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function speak(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let words = 0;
  const timer = setInterval(() => {
    const choices = [{ index: 0, delta: { role: "assistant", content: `word ${++words} ` }, finish_reason: null }];
    response.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, choices })}\n\n`);
  }, WORD_EVERY_MS);
  response.once("close", () => {
    clearInterval(timer);
  });
}
