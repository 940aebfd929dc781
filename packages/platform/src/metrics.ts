import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/**
 * The door to Prometheus: what a process counts, as `/metrics` shows it. Labels are few and never name tenants, principals or
 * anything else of which there may be any number: who needs those reads the logs.
 */

const registry = new Registry();
let collecting = false;

/** Counts what happened. */
export function counter<Label extends string>(
  name: string,
  help: string,
  labelNames: readonly Label[],
): Counter<Label> {
  return new Counter({ name: `sba_${name}`, help, labelNames: [...labelNames], registers: [registry] });
}

/** Times what took so long, in seconds. */
export function histogram<Label extends string>(
  name: string,
  help: string,
  labelNames: readonly Label[],
): Histogram<Label> {
  const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
  return new Histogram({ name: `sba_${name}`, help, labelNames: [...labelNames], buckets, registers: [registry] });
}

/** Looks at what is, whenever it is asked. */
export function gauge(name: string, help: string, read: () => number): void {
  registry.removeSingleMetric(`sba_${name}`);
  new Gauge({
    name: `sba_${name}`,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

interface Reading<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

/** As `gauge`, of several things that labels tell apart. */
export function gaugesOf<Label extends string>(
  name: string,
  help: string,
  labelNames: readonly Label[],
  read: () => readonly Reading<Label>[] | Promise<readonly Reading<Label>[]>,
): void {
  registry.removeSingleMetric(`sba_${name}`);
  new Gauge({
    name: `sba_${name}`,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    async collect() {
      const readings = await read();
      this.reset();
      for (const { labels, value } of readings) this.set(labels, value);
    },
  });
}

type Guarded = "provider" | "subgraph";
const breakers = new Map<string, { readonly labels: Readonly<Record<"of" | "name", string>>; read: () => number }>();

gaugesOf(
  "breaker_state",
  "Whether it is asked: 0 it is, 1 it is left alone, 2 it is being tried.",
  ["of", "name"],
  () => [...breakers.values()].map(({ labels, read }) => ({ labels, value: read() })),
);

/** Shows the state of a circuit breaker: 0 closed, 1 open, 2 half open. The newest of a name is shown. */
export function showBreaker(of: Guarded, name: string, read: () => number): void {
  breakers.set(`${of} ${name}`, { labels: { of, name }, read });
}

/** All of it, in Prometheus' text format, with what Node tells of the process. */
export async function readMetrics(): Promise<{ readonly contentType: string; readonly text: string }> {
  if (!collecting) collectDefaultMetrics({ register: registry });
  collecting = true;
  return { contentType: registry.contentType, text: await registry.metrics() };
}
