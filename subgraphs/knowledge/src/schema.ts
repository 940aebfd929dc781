import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./collection/collection.graphql.ts";
import "./document/document.graphql.ts";
import "./ingestion/ingestion.graphql.ts";
import "./retrieval/retrieval.graphql.ts";
import "./upload/upload.graphql.ts";

builder.mutationType();
builder.subscriptionType();

export const schema = toSubgraphSchema(builder);
