import { Agent } from "node:http";
import { parentPort } from "node:worker_threads";
import { post } from "./http.ts";

/** The HTTP client of a benchmark, in a thread of its own: one request after the other on one connection. */

export interface LoadJob {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly requests: number;
}

export interface LoadResult {
  readonly latenciesMs: readonly number[];
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

parentPort?.on("message", (job: LoadJob) => {
  run(job).then(
    (latenciesMs) => parentPort?.postMessage({ latenciesMs } satisfies LoadResult),
    (error: unknown) => {
      throw error;
    },
  );
});

async function run(job: LoadJob): Promise<number[]> {
  const latenciesMs: number[] = [];
  for (let sent = 0; sent < job.requests; sent++) {
    const began = performance.now();
    const answer = (await post({ ...job, agent })).body;
    latenciesMs.push(performance.now() - began);
    if (!answer.startsWith('{"data":')) throw new Error(`${job.url} answered ${answer.slice(0, 500)}`);
  }
  return latenciesMs;
}
