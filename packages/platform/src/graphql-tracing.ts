import { createRequire } from "node:module";
import { GraphQLInstrumentation } from "@opentelemetry/instrumentation-graphql";

/**
 * Makes @opentelemetry/instrumentation-graphql work with ES modules and at run time. Its own hooks patch a module as it is
 * loaded; but `import { execute } from "graphql"` copies the function when graphql is first evaluated (it is CommonJS:
 * https://nodejs.org/api/esm.html#commonjs-namespaces), long before anybody knows whether traces are wanted. So this module
 * puts a switch in front of parse, validate and execute, and hands the originals to the instrumentation when it is turned
 * on. It must be evaluated before graphql is: `telemetry.ts` is the first import of every process entry.
 */

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;
type ModuleExports = Record<string, AnyFunction | undefined>;

const require = createRequire(import.meta.url);

/** The modules that the instrumentation patches, and in each the function that it replaces. */
const PATCHED = {
  "graphql/language/parser.js": "parse",
  "graphql/validation/validate.js": "validate",
  "graphql/execution/execute.js": "execute",
} as const;

interface Switch {
  readonly file: string;
  readonly name: string;
  readonly exports: ModuleExports;
  readonly original: AnyFunction;
  readonly relay: AnyFunction;
  current: AnyFunction;
}

function installSwitch(file: string, name: string): Switch {
  const exports = require(file) as ModuleExports;
  const original = exports[name];
  if (!original) throw new Error(`${file} has no function ${name}: graphql is not the version that docs/pins.md names`);
  const relay: AnyFunction = function (...args) {
    return self.current.apply(this, args);
  };
  const self: Switch = { file, name, exports, original, relay, current: original };
  exports[name] = relay;
  return self;
}

const switches = Object.entries(PATCHED).map(([file, name]) => installSwitch(file, name));

/** Turns the spans of parse, validate, execute and resolve on. Values are never recorded: they may be prompts. */
export function traceGraphql(): void {
  const instrumentation = new GraphQLInstrumentation({
    // Its own hooks would find graphql loaded already; ours stand in for them.
    enabled: false,
    allowValues: false,
    // One span for a field of a list, not one for each item; none for plain properties.
    mergeItems: true,
    ignoreTrivialResolveSpans: true,
  });
  const files = instrumentation.getModuleDefinitions().flatMap((module) => module.files);
  for (const each of switches) {
    const file = files.find(({ name }) => name === each.file);
    if (!file) throw new Error(`@opentelemetry/instrumentation-graphql does not patch ${each.file} any more`);
    const patched = file.patch({ ...each.exports, [each.name]: each.original }) as ModuleExports;
    each.current = patched[each.name] ?? each.original;
  }
}

/** Turns them off again. */
export function untraceGraphql(): void {
  for (const each of switches) each.current = each.original;
}

/** Whether who imports graphql meets the switches; false when graphql was evaluated before this module. */
export async function isGraphqlTraceable(): Promise<boolean> {
  const graphql = (await import("graphql")) as unknown as ModuleExports;
  return switches.every(({ name, relay }) => graphql[name] === relay);
}
