import type { IngestionLiveSubscription } from "../generated/graphql.ts";
import type { LiveModel } from "./definition.ts";

/** An ingestion: each of its few events says all of it, as of then. */

export type IngestionLive = IngestionLiveSubscription["ingestionEvents"]["ingestion"];

export const ingestionModel: LiveModel<undefined, IngestionLiveSubscription, IngestionLive | undefined> = {
  from: "replay",
  begin: () => undefined,
  fold: (state, events) => events.at(-1)?.data.ingestionEvents.ingestion ?? state,
};
