import {
  getNamedType,
  isCompositeType,
  isInputObjectType,
  isObjectType,
  Kind,
  parse,
  valueFromASTUntyped,
  type ConstDirectiveNode,
  type DocumentNode,
  type GraphQLNamedType,
  type GraphQLSchema,
} from "graphql";

/**
 * What the supergraph says of costs: `@cost` and `@listSize` as Apollo's demand control reads them
 * (https://specs.apollo.dev/cost/v0.1, after https://ibm.github.io/graphql-specs/cost-spec.html). Without them an object costs 1
 * and a scalar nothing.
 */

export interface ListSize {
  readonly assumedSize: number | undefined;
  readonly slicingArguments: readonly string[];
  readonly sizedFields: readonly string[];
  readonly requireOneSlicingArgument: boolean;
}

export interface CostRules {
  /** By coordinate: `Type`, `Type.field`, `Type.field(argument:)`, `Input.field`. */
  readonly weights: ReadonlyMap<string, number>;
  /** By `Type.field`. */
  readonly listSizes: ReadonlyMap<string, ListSize>;
}

interface Annotated {
  readonly name?: { readonly value: string };
  readonly directives?: readonly ConstDirectiveNode[];
  readonly fields?: readonly Annotated[];
  readonly arguments?: readonly Annotated[];
}

/** Reads the rules of a supergraph. */
export function readCostRules(supergraphSdl: string): CostRules {
  const weights = new Map<string, number>();
  const listSizes = new Map<string, ListSize>();
  const { definitions } = parse(supergraphSdl);
  const names = directiveNames(definitions);
  const read = (coordinate: string, { directives = [] }: Annotated): void => {
    for (const directive of directives) {
      if (directive.name.value === names.cost) weights.set(coordinate, Number(argumentsOf(directive)["weight"] ?? 0));
      if (directive.name.value === names.listSize) listSizes.set(coordinate, toListSize(argumentsOf(directive)));
    }
  };
  for (const definition of definitions as readonly (Annotated & { readonly kind: Kind })[]) {
    if (!definition.name || definition.kind === Kind.DIRECTIVE_DEFINITION) continue;
    const typeName = definition.name.value;
    read(typeName, definition);
    for (const field of definition.fields ?? []) {
      const coordinate = `${typeName}.${field.name?.value ?? ""}`;
      read(coordinate, field);
      for (const argument of field.arguments ?? []) read(`${coordinate}(${argument.name?.value ?? ""}:)`, argument);
    }
  }
  return { weights, listSizes };
}

/** A schema may have imported them by other names: its `@link` says which. */
function directiveNames(definitions: DocumentNode["definitions"]): {
  readonly cost: string;
  readonly listSize: string;
} {
  const links = definitions.flatMap((each) => (each.kind === Kind.SCHEMA_DEFINITION ? (each.directives ?? []) : []));
  const link = links.map(argumentsOf).find(({ url }) => String(url).includes("/cost/v"));
  const imports = Array.isArray(link?.["import"]) ? (link["import"] as (string | { name: string; as?: string })[]) : [];
  const nameOf = (name: string): string => {
    const found = imports
      .map((each) => (typeof each === "string" ? { name: each } : each))
      .find((each) => each.name === name);
    return (found?.as ?? name).slice(1);
  };
  return { cost: nameOf("@cost"), listSize: nameOf("@listSize") };
}

function argumentsOf({ arguments: given = [] }: ConstDirectiveNode): Readonly<Record<string, unknown>> {
  return Object.fromEntries(given.map(({ name, value }) => [name.value, valueFromASTUntyped(value)]));
}

function toListSize(given: Readonly<Record<string, unknown>>): ListSize {
  const names = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);
  const slicingArguments = names(given["slicingArguments"]);
  return {
    assumedSize: typeof given["assumedSize"] === "number" ? given["assumedSize"] : undefined,
    slicingArguments,
    sizedFields: names(given["sizedFields"]),
    requireOneSlicingArgument: slicingArguments.length > 0 && given["requireOneSlicingArgument"] !== false,
  };
}

/** What one value of a field costs by itself: the field's own weight, or its type's. */
export function weightOf({ weights }: CostRules, coordinate: string, type: GraphQLNamedType): number {
  return weights.get(coordinate) ?? weights.get(type.name) ?? (isCompositeType(type) ? 1 : 0);
}

/** What an argument's value costs: an input object 1, the rest nothing, unless they are weighed; each item of a list for itself. */
export function inputCost(rules: CostRules, coordinate: string, type: GraphQLNamedType, value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (Array.isArray(value))
    return value.reduce((sum: number, item: unknown) => sum + inputCost(rules, coordinate, type, item), 0);
  const own = rules.weights.get(coordinate) ?? rules.weights.get(type.name) ?? (isInputObjectType(type) ? 1 : 0);
  if (!isInputObjectType(type) || typeof value !== "object") return own;
  const fields = type.getFields();
  return Object.entries(value).reduce((sum, [name, inner]) => {
    const field = fields[name];
    return field ? sum + inputCost(rules, `${type.name}.${name}`, getNamedType(field.type), inner) : sum;
  }, own);
}

/** The types that a selection on this type may meet. */
export function possibleTypes(schema: GraphQLSchema, type: GraphQLNamedType) {
  if (isObjectType(type)) return [type];
  return isCompositeType(type) ? schema.getPossibleTypes(type) : [];
}
