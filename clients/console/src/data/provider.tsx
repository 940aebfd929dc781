import { ApolloClient, ApolloLink, Observable } from "@apollo/client";
import { ApolloProvider } from "@apollo/client/react";
import { createClient, toApiError, UnauthenticatedError } from "@sba/client";
import { ClientProvider, createApolloLink } from "@sba/client/react";
import { useEffect, useState, type ReactNode } from "react";
import { session } from "../session/use-session.ts";
import { createCache } from "./cache.ts";
import { API_URL } from "./url.ts";

/** The API for one principal; another one gets another client, with nothing of the first in its cache. */

function openData() {
  let sent: string | undefined;
  const token = async (): Promise<string | undefined> => (sent = await session.token());
  const client = createClient({ url: API_URL, token });
  const link = ApolloLink.from([renewing(() => sent), createApolloLink(client)]);
  return { client, apollo: new ApolloClient({ link, cache: createCache() }) };
}

/** What was refused for its credentials was not done: it is sent once more when there are others. */
function renewing(sent: () => string | undefined): ApolloLink {
  return new ApolloLink(
    (operation, forward) =>
      new Observable<ApolloLink.Result>((observer) => {
        const attempt = (isLast: boolean) =>
          forward(operation).subscribe({
            next: (result) => {
              const isRefused = result.errors?.length && toApiError(result) instanceof UnauthenticatedError;
              if (!isRefused || isLast) observer.next(result);
              else void again(result);
            },
            error: (error: unknown) => {
              observer.error(error);
            },
            complete: () => {
              if (!isRenewing) observer.complete();
            },
          });
        let isRenewing = false;
        const again = async (refused: ApolloLink.Result): Promise<void> => {
          isRenewing = true;
          const isRenewed = await session.refused(sent()).catch(() => false);
          isRenewing = false;
          if (isRenewed) subscription = attempt(true);
          else {
            observer.next(refused);
            observer.complete();
          }
        };
        let subscription = attempt(false);
        return () => {
          subscription.unsubscribe();
        };
      }),
  );
}

export function DataProvider({ children }: { readonly children: ReactNode }) {
  const [{ client, apollo }] = useState(openData);
  useEffect(
    () => () => {
      apollo.stop();
      void client.close();
    },
    [client, apollo],
  );
  return (
    <ApolloProvider client={apollo}>
      <ClientProvider client={client}>{children}</ClientProvider>
    </ApolloProvider>
  );
}
