import { ApolloLink, Observable } from "@apollo/client";
import { OperationTypeNode } from "graphql";
import type { Client } from "../client.ts";
import { operationOf } from "../documents.ts";

/**
 * What Apollo Client sends by: queries and mutations over HTTP, subscriptions over the client's own streams, which go on
 * after their cursors whatever becomes of the connection. A mutation with `context: { outbox: true }` waits in the outbox
 * when nobody can be reached.
 */
export function createApolloLink(client: Client): ApolloLink {
  return new ApolloLink(
    ({ query, variables, getContext }) =>
      new Observable<ApolloLink.Result>((observer) => {
        const leaving = new AbortController();
        const { operation } = operationOf(query);
        const work = async (): Promise<void> => {
          if (operation === OperationTypeNode.SUBSCRIPTION) {
            const results = client.raw.subscribe(query, variables, { signal: leaving.signal, maxAttempts: Infinity });
            for await (const result of results) observer.next(result);
          } else if (operation === OperationTypeNode.MUTATION && getContext()["outbox"] === true)
            observer.next({ data: await client.outbox.add(query, variables) });
          else observer.next(await client.raw.execute(query, variables, leaving.signal));
          observer.complete();
        };
        void work().catch((error: unknown) => {
          if (!leaving.signal.aborted) observer.error(error);
        });
        return () => {
          leaving.abort();
        };
      }),
  );
}
