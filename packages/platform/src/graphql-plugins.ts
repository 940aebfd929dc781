import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from "@pothos/core";
import { PothosZodPlugin } from "@pothos/plugin-zod";
import type { GraphQLFieldResolver } from "graphql";
import type { AuthScopes } from "./graphql.ts";

/** The house's own plugins of the schema builder. */

/** Copies declared scopes into the SDL, for the gateway to refuse before any fetch. */
class AuthDirectivesPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(field: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    const scopes = (field.pothosOptions as { authScopes?: Partial<AuthScopes> }).authScopes;
    if (!scopes) return field;
    const directives = [
      ...listDirectives(field.extensions?.["directives"]),
      ...(scopes.authenticated ? [{ name: "authenticated", args: {} }] : []),
      ...(scopes.permission ? [{ name: "requiresScopes", args: { scopes: [[scopes.permission]] } }] : []),
    ];
    return { ...field, extensions: { ...field.extensions, directives } };
  }
}

/** How long a page may be, for the gateway to know what an operation may cost: `first` is the size of a connection's `edges`. */
class ListSizesPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(field: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    const isDeclared = (field.pothosOptions as { listSize?: object }).listSize !== undefined;
    if (isDeclared || !("first" in field.args)) return field;
    const sized = field.type.kind === "List" ? {} : { sizedFields: ["edges"] };
    const args = { slicingArguments: ["first"], ...sized, requireOneSlicingArgument: false };
    const directives = [...listDirectives(field.extensions?.["directives"]), { name: "listSize", args }];
    return { ...field, extensions: { ...field.extensions, directives } };
  }
}

/** Pothos plugins write directives as a list (federation: `inaccessible`) or by name. */
function listDirectives(declared: unknown): object[] {
  if (Array.isArray(declared)) return declared as object[];
  return Object.entries((declared ?? {}) as Record<string, unknown>).map(([name, args]) => ({ name, args }));
}

/**
 * Validates arguments by the fields' `validate`. Those of a subscription are validated when it is opened: they are the same for
 * each of its events.
 */
class ValidationPlugin<Types extends SchemaTypes> extends PothosZodPlugin<Types> {
  override wrapResolve(resolver: Resolver<Types>, field: PothosOutputFieldConfig<Types>): Resolver<Types> {
    return field.kind === "Subscription" ? resolver : super.wrapResolve(resolver, field);
  }
}

type Resolver<Types extends SchemaTypes> = GraphQLFieldResolver<unknown, Types["Context"], object>;

export const AUTH_DIRECTIVES = "sbaAuthDirectives" as never;
SchemaBuilder.registerPlugin(AUTH_DIRECTIVES, AuthDirectivesPlugin as never);

export const LIST_SIZES = "sbaListSizes" as never;
SchemaBuilder.registerPlugin(LIST_SIZES, ListSizesPlugin as never);

export const VALIDATION = "sbaValidation" as never;
SchemaBuilder.registerPlugin(VALIDATION, ValidationPlugin as never);
