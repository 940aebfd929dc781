import { parseArgs } from "node:util";

/** What can be measured, in the order in which it is. */
export const SECTIONS = [
  "start",
  "memory",
  "runs",
  "console",
  "gateway",
  "federation",
  "fan-out",
  "search",
  "steps",
  "durable",
  "approvals",
  "suspended",
  "growth",
  "writes",
] as const;
type SectionName = (typeof SECTIONS)[number];

export interface BenchOptions {
  readonly sections: ReadonlySet<SectionName>;
  /** The queue and the wake-ups in a Redis that is started for the time, instead of in Postgres. */
  readonly redis: boolean;
  /** Where processes of the section `durable` leave their CPU profiles. */
  readonly profileTo: string | undefined;
  /** Shorter, of the sections about durable runs: to see that all is well, not to quote. */
  readonly short: boolean;
}

/** What stands behind `npm run bench --`. @throws Error naming what is not known */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string", multiple: true },
      redis: { type: "boolean", default: false },
      profile: { type: "string" },
      short: { type: "boolean", default: false },
    },
  });
  const names = (values.only ?? SECTIONS).flatMap((each) => each.split(",")).map((each) => each.trim());
  const unknown = names.filter((name) => !isSection(name));
  if (unknown.length > 0) throw new Error(`--only ${unknown.join(",")}: there is ${SECTIONS.join(", ")}`);
  return {
    sections: new Set(names.filter(isSection)),
    redis: values.redis,
    profileTo: values.profile,
    short: values.short,
  };
}

function isSection(name: string): name is SectionName {
  return (SECTIONS as readonly string[]).includes(name);
}
