export { createApolloLink } from "./apollo-link.ts";
export { ClientProvider, useClient } from "./provider.ts";
export { useConnection, useLive, useOutbox, type LiveOptions, type UseLiveResult } from "./use-live.ts";
export * from "../generated/hooks.ts";
export * from "../generated/live-hooks.ts";
export { possibleTypes } from "../generated/possible-types.ts";
