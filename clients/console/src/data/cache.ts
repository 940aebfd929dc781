import { InMemoryCache, type FieldPolicy } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { possibleTypes } from "@sba/client/react";

/** A list that grows by "load more"; of other arguments it is another list. */
const pages = (...keyArgs: string[]): FieldPolicy => relayStylePagination(keyArgs.length > 0 ? keyArgs : false);

export function createCache(): InMemoryCache {
  return new InMemoryCache({
    possibleTypes,
    typePolicies: {
      Money: { merge: true },
      Query: {
        fields: {
          agents: pages(),
          apiKeys: pages(),
          approvals: pages("filter"),
          auditEntries: pages("filter"),
          collections: pages(),
          deadLetters: pages("isReplayed"),
          members: pages(),
          notes: pages("agentKey"),
          runs: pages("filter"),
          sessions: pages(),
          tasks: pages(),
          unknownToolCalls: pages(),
          webhookEndpoints: pages(),
          workflowRuns: pages("filter"),
          workflows: pages(),
        },
      },
      Agent: { fields: { versions: pages() } },
      Collection: { fields: { documents: pages("status") } },
      Document: { fields: { chunks: pages("from") } },
      Run: { fields: { steps: pages() } },
    },
  });
}
