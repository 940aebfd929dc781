import { setLogLevel } from "@sba/platform/log";
import { eventually } from "@sba/testkit/eventually";
import { beforeAll, describe, expect, it } from "vitest";
import { modelErrors } from "./errors.ts";
import { createGuard, type Attempt, type ProviderGuard } from "./guard.ts";

beforeAll(() => {
  setLogLevel("silent");
});

const LONG_MS = 3_600_000;
const fails = (error: Error) => (): Promise<string> => Promise.reject(error);
const answers: Attempt<string> = () => Promise.resolve("answer");
const down = fails(modelErrors.AGENT_MODEL_UNAVAILABLE());

async function codeOf(pass: Promise<unknown>): Promise<unknown> {
  return pass.then(
    () => "passed",
    (error: { readonly code: string }) => error.code,
  );
}

/** Opens a guard by two failures. */
async function opened(openForMs: number): Promise<ProviderGuard> {
  const guard = createGuard("test", { failuresToOpen: 2, openForMs });
  await codeOf(guard.pass("m", down));
  await codeOf(guard.pass("m", down));
  return guard;
}

describe("the guard of a provider", () => {
  it("leaves a provider alone that failed too often in a row, and says until when", async () => {
    const guard = await opened(LONG_MS);
    let asked = 0;
    const thrown: unknown = await guard
      .pass("m", () => {
        asked += 1;
        return Promise.resolve("answer");
      })
      .catch((error: unknown) => error);
    expect(asked).toBe(0);
    expect(thrown).toMatchObject({
      code: "AGENT_MODEL_UNAVAILABLE",
      retryable: true,
      details: { provider: "test", leftAlone: true },
    });
    const { retryAfterMs } = thrown as { readonly retryAfterMs: number };
    expect(retryAfterMs).toBeGreaterThan(LONG_MS / 2);
    expect(retryAfterMs).toBeLessThanOrEqual(LONG_MS);
  });

  it("counts failures in a row: an answer in between begins anew", async () => {
    const guard = createGuard("test", { failuresToOpen: 2, openForMs: LONG_MS });
    for (const attempt of [down, answers, down, answers, down]) await codeOf(guard.pass("m", attempt));
    expect(await guard.pass("m", answers)).toBe("answer");
  });

  it.each([
    ["a refused request", modelErrors.AGENT_MODEL_REQUEST_REFUSED()],
    ["a content filter", modelErrors.AGENT_MODEL_REFUSED()],
    ["a request for a pause", modelErrors.AGENT_MODEL_RATE_LIMITED()],
    ["a failure that is ours", new Error("a bug")],
  ])("does not hold %s against the provider", async (_what, error) => {
    const guard = createGuard("test", { failuresToOpen: 2, openForMs: LONG_MS });
    for (let i = 0; i < 4; i++) await codeOf(guard.pass("m", fails(error)));
    expect(await guard.pass("m", answers)).toBe("answer");
  });

  it("lets one turn try the provider after the pause, and the others in with its first token", async () => {
    const guard = await opened(1);
    const { promise: first, resolve: speak } = Promise.withResolvers<undefined>();
    const { promise: last, resolve: finish } = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<undefined>();
    const probing = eventually(() =>
      guard.pass("m", (spoke) => {
        begun.resolve(undefined);
        void first.then(spoke);
        return last;
      }),
    );
    await begun.promise;
    expect(await codeOf(guard.pass("m", answers))).toBe("AGENT_MODEL_UNAVAILABLE");
    speak(undefined);
    expect(await eventually(() => guard.pass("m", answers))).toBe("answer");
    finish("whole answer");
    expect(await probing).toBe("whole answer");
  });

  it("leaves the provider alone again when the try fails", async () => {
    const guard = await opened(50);
    await eventually(async () => {
      let asked = false;
      const code = await codeOf(
        guard.pass("m", () => {
          asked = true;
          return down();
        }),
      );
      return asked && code === "AGENT_MODEL_UNAVAILABLE";
    });
    expect(await eventually(() => guard.pass("m", answers))).toBe("answer");
  });

  it("gives a model the pause that it asked for, and others none", async () => {
    const guard = createGuard("test");
    await codeOf(guard.pass("m", fails(modelErrors.AGENT_MODEL_RATE_LIMITED({ retryAfterMs: LONG_MS }))));
    const thrown: unknown = await guard.pass("m", answers).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "AGENT_MODEL_RATE_LIMITED", retryable: true });
    expect((thrown as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(LONG_MS / 2);
    expect(await guard.pass("other", answers)).toBe("answer");
  });
});
