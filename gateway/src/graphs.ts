import type { GraphQLSchema } from "graphql";
import type { Graph } from "./graph.ts";

/** The supergraph that is served now. It may be replaced at any time; what has begun goes on with the one it began with. */
export interface Graphs {
  readonly current: Graph;
  replace(graph: Graph): void;
  /** Called after each replacement. Returns how to leave. */
  onReplaced(listener: () => void): () => void;
  /** The graph that this schema belongs to: an operation that was validated by it is planned by it. */
  of(schema: GraphQLSchema): Graph;
}

export function openGraphs(first: Graph): Graphs {
  let current = first;
  const listeners = new Set<() => void>();
  const bySchema = new WeakMap<GraphQLSchema, Graph>([[first.schema, first]]);
  return {
    get current() {
      return current;
    },
    replace: (graph) => {
      if (graph.id === current.id) return;
      bySchema.set(graph.schema, graph);
      current = graph;
      for (const listener of listeners) listener();
    },
    onReplaced: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    of: (schema) => bySchema.get(schema) ?? current,
  };
}
