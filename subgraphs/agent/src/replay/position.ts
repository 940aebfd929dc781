import type { EventRecord, EventType } from "@sba/platform/events";
import { approvalRequested, runFailed, runFinished, stepFinished, stepStarted } from "../events.ts";
import type { Session } from "../run/session.ts";
import type { Recording } from "./recording.ts";

/** How far a replay has come: the run as it is by now, and the event of the journal that has to be next. */
export interface Position {
  readonly recording: Recording;
  readonly session: Session;
  readonly next: EventRecord;
  /** Of the next event. */
  readonly seq: number;
  /** The first event of a type, from the next one on. */
  find<Payload>(
    type: EventType<string, Payload>,
    matches?: (payload: Payload) => boolean,
  ): (EventRecord & { readonly payload: Payload }) | undefined;
}

/** Where a replay is that has derived so many events; undefined at the end. */
export function positionOf(recording: Recording, session: Session, derived: number): Position | undefined {
  const { journal } = recording;
  const next = journal[derived];
  if (!next) return undefined;
  return {
    ...{ recording, session, next, seq: next.seq },
    find: <Payload>({ type }: EventType<string, Payload>, matches: (payload: Payload) => boolean = () => true) => {
      for (let index = derived; index < journal.length; index++) {
        const event = journal[index] as EventRecord & { readonly payload: Payload };
        if (event.type === type && matches(event.payload)) return event;
      }
      return undefined;
    },
  };
}

/** The time of the commit that comes next: of its first row that has one. */
export function timeOf({ journal, steps, approvals, run }: Recording, derived: number): Date {
  for (const { type, payload } of journal.slice(derived)) {
    const { step, approval } = payload as { step?: { number: number }; approval?: { id: string } };
    if (type === stepStarted.type) return steps.get(step!.number)?.startedAt ?? NEVER;
    if (type === stepFinished.type) return steps.get(step!.number)?.endedAt ?? NEVER;
    if (type === approvalRequested.type) return approvals.find(({ id }) => id === approval!.id)?.createdAt ?? NEVER;
    if (type === runFinished.type || type === runFailed.type) return run.endedAt ?? NEVER;
  }
  return NEVER;
}

const NEVER = new Date(0);
