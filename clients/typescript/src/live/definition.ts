import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/**
 * What is there and what happens to it, joined without a hole: an object is read, its stream is followed from the cursor at
 * which it was read (or from its beginning, for what only the stream tells), and each event is folded into one value.
 */

export type Variables = Readonly<Record<string, unknown>>;

/** How events make a state. Pure; a batch of events at a time, so that a long replay copies little. */
export interface LiveModel<Snapshot, Data, State> {
  /**
   * - `after`: events before the snapshot are in it already.
   * - `replay`: every event is folded, from the first; of those before the snapshot's cursor `isPast` is true.
   */
  readonly from: "after" | "replay";
  /** `isWhole` is false when the stream no longer has all events, and what was only there is lost. */
  begin(snapshot: Snapshot, isWhole: boolean): State;
  fold(state: State, events: readonly LiveEvent<Data>[]): State;
  /** Whether events are missing before this one, so that the object has to be read anew. */
  isGap?(data: Data): boolean;
}

export interface LiveEvent<Data> {
  readonly data: Data;
  /** It was in the snapshot already: what the snapshot says of the same is newer. */
  readonly isPast: boolean;
}

export interface LiveDefinition<State, V extends Variables, Snapshot = unknown> {
  readonly snapshot:
    { readonly document: TypedDocumentNode<Snapshot, Variables>; cursorOf(data: unknown): string } | undefined;
  readonly events: TypedDocumentNode<unknown, Variables>;
  readonly model: LiveModel<unknown, unknown, State>;
  variables(variables: V): Variables;
}

export interface LiveParts<Snapshot, Data, State, V extends Variables> {
  readonly snapshot?: TypedDocumentNode<Snapshot, never>;
  readonly cursorOf?: (data: NoInfer<Snapshot>) => string;
  readonly events: TypedDocumentNode<Data, never>;
  readonly model: LiveModel<NoInfer<Snapshot>, NoInfer<Data>, State>;
  readonly variables: (variables: V) => Variables;
}

/** What the generated files call: the documents and their model, checked against each other. */
export function defineLive<Data, State, V extends Variables, Snapshot = undefined>(
  parts: LiveParts<Snapshot, Data, State, V>,
): LiveDefinition<State, V, Snapshot> {
  // The documents and the model were checked against each other above; behind it nobody needs to know their types.
  const { snapshot, cursorOf, events, model, variables } = parts as unknown as LiveParts<unknown, unknown, State, V>;
  return {
    snapshot:
      snapshot && cursorOf ? { document: snapshot as TypedDocumentNode<Snapshot, Variables>, cursorOf } : undefined,
    events: events as TypedDocumentNode<unknown, Variables>,
    model,
    variables,
  };
}

/** Of a subscription for which there is no other model: its events, oldest first. */
export function eventsModel<Data>(): LiveModel<undefined, Data, readonly Data[]> {
  return {
    from: "replay",
    begin: () => [],
    fold: (state, events) => [...state, ...events.map(({ data }) => data)],
  };
}
