import { counter, gauge, histogram } from "@sba/platform/metrics";
import type { FastifyInstance } from "fastify";
import type { ExecutionResult, OperationTypeNode } from "graphql";

/** What the gateway counts. */

const requests = counter("http_requests_total", "HTTP requests answered.", ["method", "status"]);
const operations = counter(
  "graphql_operations_total",
  "Queries, mutations and subscriptions that were opened, by the client that sent them.",
  ["client", "version", "kind", "outcome"],
);
const seconds = histogram("graphql_operation_seconds", "How long queries and mutations took.", ["kind"]);

/** Who sends operations, as clients say themselves: for counting, never for deciding anything. */
export interface Client {
  readonly name: string;
  readonly version: string;
}

const UNNAMED: Client = { name: "unnamed", version: "" };
const NAME = /^[\w.@/+ -]{1,60}$/;
const MAX_CLIENTS = 200;
const seen = new Set<string>();

/** The client of a request, by its headers or what a socket began with. Any number of names could be made up: beyond a few hundred they are `other`. */
export function clientOf(said: (name: string) => unknown): Client {
  const name = said("apollographql-client-name") ?? said("graphql-client-name");
  const version = said("apollographql-client-version") ?? said("graphql-client-version") ?? "";
  if (typeof name !== "string" || typeof version !== "string") return UNNAMED;
  if (!NAME.test(name) || (version !== "" && !NAME.test(version))) return UNNAMED;
  const key = `${name} ${version}`;
  if (!seen.has(key) && seen.size >= MAX_CLIENTS) return { name: "other", version: "" };
  seen.add(key);
  return { name, version };
}

/** A query or mutation that was answered; without a kind, what was none. */
export function countOperation(
  { name, version }: Client = UNNAMED,
  kind: OperationTypeNode | undefined,
  { errors }: Pick<ExecutionResult, "errors">,
  tookMs: number,
): void {
  const outcome = errors && errors.length > 0 ? "errors" : "ok";
  operations.inc({ client: name, version, kind: kind ?? "none", outcome });
  seconds.observe({ kind: kind ?? "none" }, tookMs / 1_000);
}

/** A stream that was opened, over whichever transport. */
export function countStream({ name, version }: Client): void {
  operations.inc({ client: name, version, kind: "subscription", outcome: "ok" });
}

export interface Load {
  readonly sockets: number;
  readonly eventStreams: number;
  readonly upstreams: number;
}

/** What a gateway's `/metrics` tells beside its operations. */
export function countRequests(app: FastifyInstance, load: () => Load): void {
  gauge("gateway_sockets", "WebSockets open.", () => load().sockets);
  gauge("gateway_event_streams", "Event streams open.", () => load().eventStreams);
  gauge("gateway_upstreams", "Subscriptions at subgraphs, which those streams share.", () => load().upstreams);
  app.addHook("onResponse", (request, reply, done) => {
    requests.inc({ method: request.method, status: String(reply.statusCode) });
    done();
  });
}
