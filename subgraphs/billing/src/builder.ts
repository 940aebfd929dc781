import { createBuilder } from "@sba/platform/graphql";

export const builder = createBuilder();
builder.mutationType();
builder.subscriptionType();
