import * as restate from "@restatedev/restate-sdk";
import { serveParent } from "./child.ts";
import { TOKENS } from "./model.ts";

/**
 * The same three steps as a service of Restate's SDK. The token events are kept as the cheapest that its journal has: all 50 in
 * the entry of the step that said them.
 */
const service = restate.service({
  name: "run",
  handlers: {
    threeSteps: async (context: restate.Context) => {
      await context.run("plan", () => ({
        call: "look",
        params: { key: "bench" },
        events: TOKENS.map((text, index) => ({ stepNumber: 1, index, text })),
      }));
      await context.run("tool", () => ({ notes: [] }));
      return context.run("finish", () => "done");
    },
  },
});

await restate.serve({ services: [service], port: Number(process.env["RESTATE_SERVICE_PORT"]) });
serveParent({});
