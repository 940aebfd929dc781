import { context, trace } from "@opentelemetry/api";
import { pino, type DestinationStream, type Logger } from "pino";
import type { Caller } from "./caller.ts";
import { redact } from "./redact.ts";

/**
 * Structured logs: JSON lines on standard error, a constant message, dotted attributes. Prompts, model text, tokens and
 * credentials are never logged; `redact.ts` catches those that slip in with an object or an error.
 */

export type { Logger };

/** A logger of its own; the process has one, `logger`. */
export function createLogger(destination: DestinationStream): Logger {
  const created = pino(
    {
      level: "info",
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      mixin: traceOfNow,
      formatters: { level: (label) => ({ severity: label }), log: redactFields },
      // An error is redacted with the rest; pino's own serializer would copy every field that hangs on it.
      serializers: { err: (error: unknown) => redact(error) },
    },
    destination,
  );
  // pino formats no bindings of children; they inherit this method instead.
  const makeChild = created.child;
  created.child = function (bindings, options) {
    return makeChild.call(this, redactFields(bindings), options) as never;
  };
  return created;
}

export const logger: Logger = createLogger(pino.destination({ fd: 2, sync: false }));

/** Sets the level for this process; called once with the configuration. */
export function setLogLevel(level: string): void {
  logger.level = level;
}

/** The log of a caller's work: every line says whose it is. */
export function loggerOf(caller: Caller, runId?: string): Logger {
  const { requestId, tenantId } = caller;
  return logger.child({ requestId, tenantId, ...(runId === undefined ? {} : { runId }) });
}

function redactFields(fields: object): Record<string, unknown> {
  return redact(fields) as Record<string, unknown>;
}

function traceOfNow(): object {
  const span = trace.getSpanContext(context.active());
  return span ? { traceId: span.traceId } : {};
}
