import { openEgress } from "@sba/platform/egress";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TurnTimeouts } from "./deadline.ts";
import { openAiCompatibleProvider } from "./openai-compatible.ts";
import {
  aRequest,
  collectTurn,
  openChunks,
  PATIENT,
  startScriptedServer,
  type Answer,
  type ScriptedServer,
} from "./testing.ts";

let server: ScriptedServer;
let closeEgress: () => Promise<void>;

beforeAll(async () => {
  server = await startScriptedServer(() => undefined);
  closeEgress = openEgress({ allowedHosts: [], trustedUrls: [server.url] });
});
beforeEach(() => {
  server.received.length = 0;
});
afterAll(async () => {
  await closeEgress();
  await server.close();
});

const MODEL = "gpt-test";
const SECRET = "sk-test-secret";
const open = (timeouts: Partial<TurnTimeouts> = {}) =>
  openAiCompatibleProvider({ apiKey: SECRET, baseUrl: server.url, timeouts: { ...PATIENT, ...timeouts } });
const turn = () => collectTurn(open(), aRequest({ model: MODEL }));

describe("the OpenAI-compatible provider", () => {
  it.each<[string, Answer, string, boolean]>([
    [
      "500",
      (response) => {
        response.writeHead(500, { "content-type": "application/json" }).end('{"error":{"message":"boom"}}');
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "502 with a page of HTML",
      (response) => {
        response.writeHead(502, { "content-type": "text/html" }).end("<html>Bad gateway</html>");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "200 with a page of HTML",
      (response) => {
        response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "401",
      (response) => {
        response.writeHead(401).end(`{"error":{"message":"bad key ${SECRET}"}}`);
      },
      "AGENT_MODEL_CREDENTIALS_REFUSED",
      false,
    ],
    [
      "400",
      (response) => {
        response.writeHead(400).end('{"error":{"message":"too long"}}');
      },
      "AGENT_MODEL_REQUEST_REFUSED",
      false,
    ],
    [
      "404",
      (response) => {
        response.writeHead(404).end("{}");
      },
      "AGENT_MODEL_REQUEST_REFUSED",
      false,
    ],
    [
      "a redirect",
      (response) => {
        response.writeHead(302, { location: "http://169.254.169.254/" }).end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a connection that breaks before the answer",
      (response) => {
        response.destroy();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "an empty answer",
      (response) => {
        response.writeHead(200, { "content-type": "text/event-stream" }).end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "chunks that are junk",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        chunks.send("{not json");
        chunks.end("stop");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "chunks of another shape",
      (response) => {
        const chunks = openChunks(response);
        chunks.send({ hello: "world" });
        chunks.end("stop");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "an error in the middle of the stream",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        chunks.send({ error: { message: "overloaded", type: "server_error" } });
        response.end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a connection that breaks in the middle",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        setImmediate(() => {
          response.destroy();
        });
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a stream that ends without a finish",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        response.end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a content filter",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("I ");
        chunks.end("content_filter");
      },
      "AGENT_MODEL_REFUSED",
      false,
    ],
  ])("reports %s as a typed error, without the provider's words", async (_what, answer, code, retryable) => {
    server.answer = answer;
    const thrown: unknown = await turn().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ name: "AppError", code, retryable });
    expect((thrown as Error).message).not.toMatch(/boom|Bad gateway|sk-test|overloaded|too long/);
    expect(server.received).toHaveLength(1);
  });

  it("passes on how long a provider asks to wait, up to a minute", async () => {
    for (const [header, retryAfterMs] of [
      ["3", 3_000],
      ["86400", 60_000],
      ["soon", 5_000],
      [new Date(Date.now() + 3_600_000).toUTCString(), 60_000],
      [new Date(Date.now() - 3_600_000).toUTCString(), 5_000],
      [undefined, 5_000],
    ] as const) {
      server.answer = (response) => {
        response.writeHead(429, header === undefined ? {} : { "retry-after": header }).end("{}");
      };
      await expect(turn()).rejects.toMatchObject({ code: "AGENT_MODEL_RATE_LIMITED", retryable: true, retryAfterMs });
    }
  });

  it("gives up on a model that is silent, before its first token, between two, and when the turn takes too long", async () => {
    const silent: Answer = () => undefined;
    const speaksOnce: Answer = (response) => {
      openChunks(response).text("Hello");
    };
    /** Bytes without a token, as proxies send them so that nobody hangs up. */
    const keepsOpen: Answer = (response) => {
      openChunks(response);
      response.write(": still here\n\n");
    };
    const thinks: Answer = (response) => {
      openChunks(response).delta({ reasoning_content: "Hm. " });
    };
    const writesParams: Answer = (response) => {
      const call = {
        index: 0,
        id: "call_a",
        type: "function",
        function: { name: "knowledge__search", arguments: '{"que' },
      };
      openChunks(response).delta({ tool_calls: [call] });
    };
    for (const [answer, timeouts, waitedFor] of [
      [silent, { firstTokenMs: 100 }, "firstToken"],
      [keepsOpen, { firstTokenMs: 100 }, "firstToken"],
      [speaksOnce, { betweenTokensMs: 100 }, "nextToken"],
      [thinks, { betweenTokensMs: 100 }, "nextToken"],
      [writesParams, { betweenTokensMs: 100 }, "nextToken"],
      [speaksOnce, { turnMs: 100 }, "turn"],
    ] as const) {
      server.answer = answer;
      await expect(collectTurn(open(timeouts), aRequest({ model: MODEL }))).rejects.toMatchObject({
        code: "AGENT_MODEL_TIMED_OUT",
        retryable: true,
        details: { waitedFor, timeoutMs: 100 },
      });
    }
  });

  describe("a turn that failed", () => {
    const billedBy = async (answer: Answer): Promise<unknown[]> => {
      server.answer = answer;
      const billed: unknown[] = [];
      const events = open().streamTurn(aRequest({ model: MODEL }), new AbortController().signal, (usage) =>
        billed.push(usage),
      );
      const reading = async (): Promise<void> => {
        for await (const event of events) expect(event.type).toBe("text");
      };
      await expect(reading()).rejects.toMatchObject({ name: "AppError" });
      return billed;
    };

    it("tells what the provider billed for it, as far as it said so", async () => {
      const usage = (completionTokens: number) => ({
        usage: { prompt_tokens: 20, completion_tokens: completionTokens },
      });
      const billed = await billedBy((response) => {
        const chunks = openChunks(response);
        chunks.text("Hel", usage(1));
        chunks.text("lo", usage(2));
        chunks.send({ error: { message: "overloaded" } });
        response.end();
      });
      expect(billed).toEqual([{ inputTokens: 20, outputTokens: 2, isEstimated: false }]);
      const filtered = await billedBy((response) => {
        const chunks = openChunks(response);
        chunks.end("content_filter", { prompt_tokens: 7, completion_tokens: 3 });
      });
      expect(filtered).toEqual([{ inputTokens: 7, outputTokens: 3, isEstimated: false }]);
    });

    it("is billed for nothing when the provider said nothing", async () => {
      expect(
        await billedBy((response) => {
          openChunks(response).text("Hello");
          response.end();
        }),
      ).toEqual([]);
    });
  });
});
