import { inputTold } from "../events.ts";
import { tellersWith } from "./lock.ts";
import { addMessage, type Draft } from "./session.ts";

/**
 * What people say to a run while it is under way. It is kept beside the messages until a model turn begins: only there it fits into
 * the conversation, since what a model asks for has to be followed by its results. A run that has something unread does not end.
 */

/** Has the model turn that begins with this commit know what the run was sent: once, in order. */
export function tellInputs(draft: Draft, stepNumber: number): void {
  const ordinals = draft.inbox.map(({ ordinal }) => ordinal);
  if (ordinals.length === 0) return;
  const { id } = draft.run;
  const toldBy = tellersWith(
    draft.run,
    draft.inbox.map(({ sentBy }) => sentBy),
  );
  keepInputs(draft);
  draft.run = { ...draft.run, unreadInputs: 0, toldBy };
  draft.writes.push((tx) => {
    void tx.sql`UPDATE agent.run_input SET told_at = clock_timestamp() WHERE run_id = ${id} AND ordinal = ANY(${ordinals}::int[])`;
    void tx.sql`UPDATE agent.run SET unread_inputs = 0, told_by = ${toldBy}::uuid[] WHERE id = ${id}`;
  });
  draft.journal.push(inputTold({ ordinals, stepNumber }));
}

/** Keeps in the thread what a run was sent that ends without its model being told: whoever goes on with the thread knows of it. */
export function keepInputs(draft: Draft): void {
  for (const { text } of draft.inbox.splice(0)) addMessage(draft, { role: "user", text });
}
