import { defineLoader } from "@sba/platform/graphql";
import { builder } from "../builder.ts";
import { findCollections, type Collection } from "./collection.ts";

/** The collection as other nouns refer to it; `collection.graphql.ts` says what it shows. */
export const CollectionRef = builder.objectRef<Collection>("Collection");
export const collectionById = defineLoader(findCollections, (collection) => collection.id);
