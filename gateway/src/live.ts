import type { Caller } from "@sba/platform/caller";
import { OperationFailed } from "@sba/platform/execute";
import { newId } from "@sba/platform/ids";
import { getVariableValues, GraphQLError, OperationTypeNode, type ExecutionResult } from "graphql";
import type { Authenticated } from "./authenticate.ts";
import { declaredVariables, operationIn, type Documents, type KnownDocument } from "./documents.ts";
import { findRefusal, ofStreamItself } from "./enforce.ts";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { FanOut, Sink, StreamCursor, StreamSource, Subscription } from "./fan-out.ts";
import type { SubgraphLinks } from "./forward.ts";
import type { Graph } from "./graph.ts";
import type { Graphs } from "./graphs.ts";
import { countStream } from "./metrics.ts";
import type { Operations } from "./operations.ts";
import { retryAfterMs, type Quotas } from "./quotas.ts";
import type { ActiveStream, Session } from "./sessions.ts";
import type { Batch } from "./stream-item.ts";
import { prepareStream, type PreparedStream } from "./subscriptions.ts";
import type { Tolls } from "./tolls.ts";
import type { TrustedDocuments } from "./trusted-documents.ts";

/** Operations of a session, over whichever transport: parsed, limited, validated and enforced before anything is fetched. */

export interface LiveServices {
  readonly graphs: Graphs;
  readonly subgraphs: SubgraphLinks;
  readonly operations: Operations;
  readonly documents: Documents;
  readonly fanOut: FanOut;
  readonly quotas: Quotas;
  readonly tolls: Tolls;
  readonly trusted: TrustedDocuments;
}

export interface OperationInput {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
  readonly operationName?: string | null | undefined;
}

/** A query or mutation, or a stream; past parsing, limits, validation and enforcement. */
export type PreparedOperation =
  | {
      readonly kind: "single";
      readonly isMutation: boolean;
      /** @throws OperationFailed when it could not run at all. */
      readonly execute: (signal: AbortSignal) => Promise<ExecutionResult>;
    }
  | {
      readonly kind: "stream";
      /** @param after instead of what the document says. @throws OperationFailed when its variables do not fit, or there are too many. */
      readonly open: (sink: Sink, after?: string) => OpenedStream;
    };

/** A stream as its transport holds it. */
export interface OpenedStream {
  /** The sink takes events again. */
  room(): void;
  /** Ends it without a word to the sink. */
  leave(): void;
}

/**
 * Counts an operation against the rates, as one over HTTP is; a stream costs, when it is opened, what one of its events may. To be
 * asked before it is prepared: the errors of one that is refused.
 */
export async function admitOperation(
  { graphs, documents, tolls, trusted }: LiveServices,
  { principal, client }: Session,
  { query, operationName, variables }: OperationInput,
): Promise<readonly GraphQLError[] | undefined> {
  const asker = { caller: principal };
  const { refusal } = await tolls.admit(asker, documents.hashOf(query));
  if (refusal) return [toShownError(refusal, newId())];
  const text = trusted.textOf({ query }, client);
  if (text instanceof GraphQLError) return [presentGatewayError(text, newId())];
  const graph = graphs.current;
  const known = documents.of(graph, query);
  const operation = "document" in known ? operationIn(known.document, operationName) : undefined;
  // What is wrong with it is found, and said, when it is prepared.
  if (!("document" in known) || !operation || operation instanceof GraphQLError) return undefined;
  if (operation.operation !== OperationTypeNode.SUBSCRIPTION) return undefined;
  const { coerced } = getVariableValues(graph.schema, operation.variableDefinitions ?? [], variables ?? {});
  if (!coerced) return undefined;
  const costed = { document: known.document, operation, variables: coerced };
  const charged = await tolls.charge(asker, graph.costs.estimate(costed));
  return charged.refusal && [toShownError(charged.refusal, newId())];
}

/** What stands against an operation is presented, and may be sent as it is. */
export function prepareOperation(
  services: LiveServices,
  session: Session,
  input: OperationInput,
): PreparedOperation | readonly GraphQLError[] {
  const caller = callerOf(session.principal);
  const shown = (problems: readonly GraphQLError[]): readonly GraphQLError[] =>
    problems.map((problem) => presentGatewayError(problem, caller.requestId));
  const graph = services.graphs.current;
  const known = services.documents.of(graph, input.query);
  if (!("document" in known)) return shown(known);
  const operation = operationIn(known.document, input.operationName);
  if (operation instanceof GraphQLError) return shown([operation]);
  const refusal = refusalOf(graph, known, input, caller);
  if (refusal) return [refusal];
  const { operationName } = input;
  const variables = declaredVariables(operation, input.variables ?? {});
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) {
    const asked: AskedStream = { known, variables, operationName };
    return { kind: "stream", open: (sink, after) => openStream(services, session, asked, { caller, sink, after }) };
  }
  return {
    kind: "single",
    isMutation: operation.operation === OperationTypeNode.MUTATION,
    execute: (signal) =>
      services.operations.execute(
        { graph, document: known.document, operationName, variables },
        { caller, requestId: caller.requestId, signal, client: session.client },
      ),
  };
}

function callerOf(principal: Authenticated): Caller {
  return { ...principal, requestId: newId() };
}

type OperationName = Pick<OperationInput, "operationName">;

type Demands = Parameters<typeof findRefusal>[0];

function refusalOf(
  { requirements }: Graph,
  { document }: KnownDocument,
  { operationName }: OperationName,
  caller: Caller,
  ofWhat: (demanded: Demands) => Demands = (demanded) => demanded,
): GraphQLError | undefined {
  const operation = operationIn(document, operationName);
  if (operation instanceof GraphQLError) return operation;
  const refusal = findRefusal(ofWhat(requirements.of(document, operation)), caller);
  return refusal && toShownError(refusal, caller.requestId);
}

/** A subscription as it was asked for; the document is shared by all who asked for it in the same words. */
interface AskedStream extends OperationName {
  readonly known: KnownDocument;
  readonly variables: Readonly<Record<string, unknown>>;
}

interface Opening {
  readonly caller: Caller;
  readonly sink: Sink;
  readonly after: StreamCursor;
}

function openStream(
  services: LiveServices,
  session: Session,
  asked: AskedStream,
  { caller, sink, after }: Opening,
): LiveStream {
  const { source, after: askedAfter } = planStream(services, asked, caller);
  takeQuota(services.quotas, session, caller.requestId);
  const stream = new LiveStream(services, session, asked, sink);
  stream.subscription = services.fanOut.subscribe(
    source,
    source.resumable && after !== undefined ? after : askedAfter,
    stream,
  );
  session.streams.add(stream);
  countStream(session.client);
  return stream;
}

/** Between a session, the fan-out and the transport. A class: there are as many as there are subscribers. */
class LiveStream implements ActiveStream, Sink, OpenedStream {
  readonly services: LiveServices;
  readonly session: Session;
  readonly asked: AskedStream;
  readonly sink: Sink;
  subscription: Subscription | undefined;

  constructor(services: LiveServices, session: Session, asked: AskedStream, sink: Sink) {
    this.services = services;
    this.session = session;
    this.asked = asked;
    this.sink = sink;
  }

  get hasRoom(): boolean {
    return this.sink.hasRoom;
  }

  write(batch: Batch): void {
    this.sink.write(batch);
  }

  end(error: OperationFailed | undefined): void {
    this.#release();
    this.sink.end(error);
  }

  room(): void {
    this.subscription?.room();
  }

  leave(): void {
    this.#release();
    this.subscription?.leave();
  }

  replan(): void {
    const planned = planAgain(this.services, this.asked, callerOf(this.session.principal));
    if (planned instanceof OperationFailed) this.subscription?.fail(planned);
    else this.subscription?.retarget(planned);
  }

  #release(): void {
    if (this.session.streams.delete(this)) giveQuota(this.services.quotas, this.session);
  }
}

function planStream(
  { subgraphs, graphs }: LiveServices,
  { known, variables, operationName }: AskedStream,
  caller: Caller,
): PreparedStream {
  return prepareStream(subgraphs, { graph: graphs.current, known, operationName, variables, caller });
}

/**
 * The same stream for another caller or on another graph; it goes on from its cursor. Of what the caller may no longer see its
 * subgraph leaves out the fields, each with an error, and the rest is still shown.
 */
function planAgain(services: LiveServices, asked: AskedStream, caller: Caller): StreamSource | OperationFailed {
  const graph = services.graphs.current;
  const known = services.documents.of(graph, asked.known.text);
  if (!("document" in known)) return outdated(known, caller.requestId);
  const refusal = refusalOf(graph, known, asked, caller, ofStreamItself);
  if (refusal) return new OperationFailed([refusal]);
  try {
    return planStream(services, { ...asked, known }, caller).source;
  } catch (error) {
    return error instanceof OperationFailed
      ? error
      : new OperationFailed([presentGatewayError(error, caller.requestId)]);
  }
}

function outdated(problems: readonly GraphQLError[], requestId: string): OperationFailed {
  const details = { problems: problems.map(({ message }) => message) };
  return new OperationFailed([toShownError(errors.SUBSCRIPTION_OUTDATED({ details }), requestId)]);
}

function takeQuota({ subscriptions }: Quotas, { principal, address }: Session, requestId: string): void {
  if (subscriptions.takeForAddress(address)) {
    if (subscriptions.takeFor(principal)) return;
    subscriptions.giveForAddress(address);
  }
  const error = errors.SUBSCRIPTIONS_TOO_MANY({ retryAfterMs: retryAfterMs() });
  throw new OperationFailed([toShownError(error, requestId)]);
}

function giveQuota({ subscriptions }: Quotas, { principal, address }: Session): void {
  subscriptions.giveFor(principal);
  subscriptions.giveForAddress(address);
}
