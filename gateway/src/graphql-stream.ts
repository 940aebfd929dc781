import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { platformErrors, type AppError } from "@sba/platform/errors";
import { OperationFailed } from "@sba/platform/execute";
import type { ExecutionResult, GraphQLError } from "graphql";
import { z } from "zod";
import { presentGatewayError, toShownError } from "./errors.ts";
import {
  acceptsEventStream,
  eventFrame,
  lastEventIdOf,
  refuseAccept,
  type Encoding,
  type EventStream,
  type EventStreams,
} from "./event-stream.ts";
import { admitOperation, prepareOperation, type LiveServices, type OperationInput } from "./live.ts";

/**
 * GraphQL over server-sent events, the distinct connections mode of graphql-sse
 * (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md): one operation a request. `id:` is the cursor, and a
 * `Last-Event-ID` goes on after it.
 */

export const STREAM_PATH = "/graphql/stream";

export interface GraphqlStreamOptions extends LiveServices {
  readonly streams: EventStreams;
  readonly maxMessageBytes: number;
}

const variablesSchema = z.record(z.string(), z.unknown()).nullish();
const bodySchema = z.object({
  query: z.string().min(1),
  variables: variablesSchema,
  operationName: z.string().nullish(),
});
const searchSchema = bodySchema.extend({
  variables: z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue("must be JSON");
        return z.NEVER;
      }
    })
    .pipe(variablesSchema)
    .optional(),
});

const ENCODING: Encoding = {
  items: (items) => Buffer.from(items.map(({ json, cursor }) => eventFrame("next", json, cursor)).join("")),
  complete: eventFrame("complete", "", undefined),
  failed: ({ errors: problems }) => failed(problems),
};

function failed(problems: readonly GraphQLError[]): string {
  return `${eventFrame("next", JSON.stringify({ errors: problems }), undefined)}${ENCODING.complete}`;
}

export function mountGraphqlStream(app: FastifyInstance, options: GraphqlStreamOptions): void {
  void app.register((scope, _options, registered) => {
    // Only JSON is read: what a form could send is refused by its type.
    scope.removeContentTypeParser("text/plain");
    scope.route({
      method: ["GET", "POST"],
      url: STREAM_PATH,
      bodyLimit: options.maxMessageBytes,
      // Before the body is read: nobody without credentials sends us one.
      onRequest: (request, _reply, done) => {
        if (request.headers.authorization === undefined) done(platformErrors.CREDENTIALS_MISSING());
        else done();
      },
      handler: (request, reply) => answer(options, request, reply),
    });
    registered();
  });
}

async function answer(options: GraphqlStreamOptions, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (!acceptsEventStream(request)) {
    await refuseAccept(reply, request.id);
    return;
  }
  const input = readInput(request);
  // The request is kept as long as its stream goes on, and what was sent with it need not be.
  request.body = undefined;
  const after = lastEventIdOf(request);
  const stream = await options.streams.open(request, reply, ENCODING);
  stream.begin(reply);
  try {
    await run(options, { stream, input, after, isGet: request.method === "GET" });
  } catch (error) {
    stream.end(
      error instanceof OperationFailed ? error : new OperationFailed([presentGatewayError(error, request.id)]),
    );
  }
}

interface Run {
  readonly stream: EventStream;
  readonly input: OperationInput;
  readonly after: string | undefined;
  readonly isGet: boolean;
}

/** What stands against the operation is said in the stream, as the protocol has it. */
async function run(options: LiveServices, { stream, input, after, isGet }: Run): Promise<void> {
  const { session } = stream;
  if (!session) return;
  const refused = await admitOperation(options, session, input);
  if (refused) throw new OperationFailed(refused);
  const prepared = prepareOperation(options, session, input);
  if (!("kind" in prepared)) throw new OperationFailed(prepared);
  if (prepared.kind === "stream") {
    stream.follow(prepared.open(stream, after));
    return;
  }
  // A link that somebody follows must not change anything.
  if (prepared.isMutation && isGet) throw new OperationFailed([toShownError(mutationByGet(), stream.requestId)]);
  const gone = new AbortController();
  stream.follow({
    room: () => undefined,
    leave: () => {
      gone.abort();
    },
  });
  const result: ExecutionResult = await prepared.execute(gone.signal);
  stream.send(eventFrame("next", JSON.stringify(result), undefined));
  stream.end(undefined);
}

function mutationByGet(): AppError {
  return platformErrors.INPUT_INVALID({ message: "A mutation is sent by POST." });
}

/** @throws INPUT_INVALID */
function readInput(request: FastifyRequest): OperationInput {
  const isGet = request.method === "GET";
  const parsed = isGet ? searchSchema.safeParse(request.query) : bodySchema.safeParse(request.body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || (isGet ? "The search" : "The body");
  throw platformErrors.INPUT_INVALID({ message: `${where}: ${issue?.message ?? "not valid"}` });
}
