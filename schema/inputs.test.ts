import { agentSubgraph } from "@sba/agent/server";
import { billingSubgraph } from "@sba/billing/server";
import { identitySubgraph } from "@sba/identity/server";
import { integrationsSubgraph } from "@sba/integrations/server";
import { knowledgeSubgraph } from "@sba/knowledge/server";
import { workflowSubgraph } from "@sba/workflow/server";
import {
  getNullableType,
  isEnumType,
  isInputObjectType,
  isListType,
  isObjectType,
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLInputType,
} from "graphql";
import { describe, expect, it } from "vitest";

const SUBGRAPHS = [
  identitySubgraph,
  billingSubgraph,
  integrationsSubgraph,
  knowledgeSubgraph,
  agentSubgraph,
  workflowSubgraph,
];
/** What anybody may ask: to sign in, and what the gateway asks by itself (refused to everybody else by the subgraph). */
const OPEN = [
  "Mutation.signIn",
  "Mutation.refreshSession",
  "Mutation.signOut",
  "Query.principalGrants",
  "Query.apiKeyGrants",
];
/** Their parsers leave nothing to check. */
const CLOSED_SCALARS = ["Boolean", "DateTime"];

interface PothosOptions {
  readonly validate?: unknown;
  readonly authScopes?: unknown;
}

function optionsOf(item: { readonly extensions: Readonly<Record<string, unknown>> }): PothosOptions {
  return item.extensions["pothosOptions"] ?? {};
}

function needsCheck(given: GraphQLInputType): boolean {
  const type = getNullableType(given);
  if (isListType(type)) return true;
  return !isEnumType(type) && !isInputObjectType(type) && !CLOSED_SCALARS.includes(type.name);
}

function unchecked(items: readonly (GraphQLArgument | GraphQLInputField)[], owner: string): string[] {
  return items
    .filter((item) => needsCheck(item.type) && optionsOf(item).validate === undefined)
    .map((item) => `${owner}.${item.name}`);
}

describe.each(SUBGRAPHS)("the subgraph $name", ({ schema }) => {
  // Federation's own fields carry representations, which reference resolvers check.
  const types = Object.values(schema.getTypeMap()).filter((type) => !type.name.startsWith("_"));

  it("checks every input with zod", () => {
    const inputs = types
      .filter(isInputObjectType)
      .flatMap((type) => unchecked(Object.values(type.getFields()), type.name));
    const args = types.filter(isObjectType).flatMap((type) =>
      Object.values(type.getFields())
        .filter((field) => !field.name.startsWith("_"))
        .flatMap((field) => unchecked(field.args, `${type.name}.${field.name}`)),
    );
    expect([...inputs, ...args]).toEqual([]);
  });

  it("says who may use each operation", () => {
    const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].filter(
      (type) => !!type,
    );
    const open = roots.flatMap((type) =>
      Object.values(type.getFields())
        .filter((field) => !field.name.startsWith("_") && optionsOf(field).authScopes === undefined)
        .map((field) => `${type.name}.${field.name}`),
    );
    expect(open.filter((field) => !OPEN.includes(field))).toEqual([]);
  });
});
