import { createContext, createElement, useContext, useEffect, type ReactNode } from "react";
import type { Client } from "../client.ts";

const ClientContext = createContext<Client | undefined>(undefined);

/** Gives the client to the live hooks below it, and sends what an earlier visit left in the outbox. */
export function ClientProvider({ client, children }: { readonly client: Client; readonly children?: ReactNode }) {
  useEffect(() => {
    void client.outbox;
  }, [client]);
  return createElement(ClientContext.Provider, { value: client }, children);
}

/** @throws Error outside of a ClientProvider. */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("Live hooks need a <ClientProvider client={...}> above them.");
  return client;
}
