import { setTimeout as delay } from "node:timers/promises";
import { startProcess, type Part } from "./lifecycle.ts";
import { setLogLevel } from "./log.ts";

/** A process with two parts that tell the parent what happens to them; for `lifecycle.test.ts`. */

const tell = (message: string): void => {
  process.send?.(message);
};

const part = (name: string): Part => ({
  name,
  start: () => {
    tell(`start ${name}`);
    return async () => {
      tell(`stop ${name}`);
      // Long enough for a second signal to arrive in the middle.
      await delay(100);
      tell(`stopped ${name}`);
    };
  },
});

const scenarios: Readonly<Record<string, readonly Part[]>> = {
  plain: [part("a"), part("b")],
  broken: [part("a"), { name: "b", start: () => Promise.reject(new Error("b does not start")) }],
  stubborn: [part("a"), { name: "b", start: () => () => Promise.reject(new Error("b does not stop")) }],
  uncaught: [
    part("a"),
    {
      name: "b",
      start: () => {
        setImmediate(() => {
          throw new Error("nobody catches it");
        });
        return undefined;
      },
    },
  ],
};

if (import.meta.main) {
  setLogLevel("silent");
  await startProcess("test", scenarios[process.argv[2] ?? ""] ?? [], () => ({ port: 1 }));
}
