import { requireStorable } from "@sba/platform/storable";
import {
  getArgumentValues,
  getNamedType,
  isCompositeType,
  isObjectType,
  Kind,
  OperationTypeNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from "graphql";
import { createCostFields, isSkipped, type CostField, type CostFieldsOf } from "./cost-fields.ts";
import { inputCost, possibleTypes, type CostRules, type ListSize } from "./cost-rules.ts";
import { errors } from "./errors.ts";

/**
 * What an operation may cost, found before it is run, and what its result did cost. A list costs as many times its items as
 * it may have: by its slicing arguments (`first: 20`), its assumed size, or the gateway's. Of the types that an interface
 * may turn out to be, the dearest counts. Introspection costs nothing: its depth is limited by validation.
 */

export interface Costs {
  /**
   * @throws OPERATION_COST_UNKNOWN when a list must be given exactly one size and is not, and INPUT_INVALID for variables that no
   * subgraph would take: of those that nest too deeply neither the cost can be told nor a request be written.
   */
  readonly estimate: (operation: CostedOperation) => number;
  readonly actual: (operation: CostedOperation, data: unknown) => number;
}

export interface CostedOperation {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** With the operation's own defaults. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What a mutation costs beside its result. */
const MUTATION_COST = 10;

/** @param assumedListSize of a list of which the schema says nothing */
export function createCosts(schema: GraphQLSchema, rules: CostRules, assumedListSize: number): Costs {
  const fieldsOf = createCostFields(schema, rules);
  const works = new WeakMap<CostedOperation, Work>();
  const workOf = (given: CostedOperation): Work => {
    const existing = works.get(given);
    if (existing) return existing;
    const { document, variables } = given;
    const fragments = fragmentsOf(document);
    const made = { schema, rules, fieldsOf, variables, assumedListSize, fragments, known: new Map(), given: new Map() };
    works.set(given, made);
    return made;
  };
  const baseOf = ({ operation }: CostedOperation): number =>
    operation.operation === OperationTypeNode.MUTATION ? MUTATION_COST : 0;
  return {
    estimate: (given) => {
      requireStorable(given.variables);
      const root = schema.getRootType(given.operation.operation);
      return root ? baseOf(given) + estimateSelections(workOf(given), root, given.operation.selectionSet) : 0;
    },
    actual: (given, data) => {
      const root = schema.getRootType(given.operation.operation);
      const base = baseOf(given);
      return root && isData(data)
        ? base + actualSelections(workOf(given), root, given.operation.selectionSet, data)
        : base;
    },
  };
}

interface Work {
  readonly schema: GraphQLSchema;
  readonly rules: CostRules;
  readonly fieldsOf: CostFieldsOf;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly assumedListSize: number;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Estimates of selections, by the type that they are on: each is made once, however often fragments spread it. */
  readonly known: Map<SelectionSetNode, Map<GraphQLObjectType, number>>;
  /** The same for every item of a list, and for what came as for the estimate. */
  readonly given: Map<CostField, Given>;
}

const fragmentMaps = new WeakMap<DocumentNode, ReadonlyMap<string, FragmentDefinitionNode>>();

function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const existing = fragmentMaps.get(document);
  if (existing) return existing;
  const made = new Map(
    document.definitions.flatMap((each) =>
      each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each] as const] : [],
    ),
  );
  fragmentMaps.set(document, made);
  return made;
}

/** The sizes that a field gives to lists inside it: `first` of a connection is the size of its `edges`. */
interface Sizes {
  readonly size: number;
  readonly fields: readonly string[];
}

function estimateSelections(work: Work, type: GraphQLNamedType, set: SelectionSetNode, sizes?: Sizes): number {
  return possibleTypes(work.schema, type).reduce(
    (dearest, possible) => Math.max(dearest, estimateOn(work, possible, set, sizes)),
    0,
  );
}

function estimateOn(work: Work, type: GraphQLObjectType, set: SelectionSetNode, sizes: Sizes | undefined): number {
  const byType = work.known.get(set) ?? new Map<GraphQLObjectType, number>();
  work.known.set(set, byType);
  const known = sizes ? undefined : byType.get(type);
  if (known !== undefined) return known;
  const sum = work
    .fieldsOf(type, set, work.fragments)
    .reduce(
      (total, field) => (isSkipped(field, work.variables) ? total : total + estimateField(work, field, sizes)),
      0,
    );
  if (!sizes) byType.set(type, sum);
  return sum;
}

function estimateField(work: Work, costed: CostField, sizes: Sizes | undefined): number {
  const { field, node, type, weight, isList, listSize, coordinate } = costed;
  const given = givenTo(work, costed);
  const size = listSize ? sizeOf(listSize, given.values, coordinate) : undefined;
  const sized = listSize && listSize.sizedFields.length > 0 && size !== undefined;
  const inherited = sizes?.fields.includes(field.name) ? sizes.size : undefined;
  const count = isList ? (inherited ?? (sized ? undefined : size) ?? work.assumedListSize) : 1;
  const inner =
    isCompositeType(type) && node.selectionSet
      ? estimateSelections(work, type, node.selectionSet, sized ? { size, fields: listSize.sizedFields } : undefined)
      : 0;
  return given.cost + count * (weight + inner);
}

type Data = Readonly<Record<string, unknown>>;

/** The arguments of a field, and what they cost. */
interface Given {
  readonly values: Data;
  readonly cost: number;
}

const NO_ARGUMENTS: Given = { values: {}, cost: 0 };

function givenTo({ rules, variables, given }: Work, costed: CostField): Given {
  const { field, node, coordinate } = costed;
  if (field.args.length === 0) return NO_ARGUMENTS;
  const existing = given.get(costed);
  if (existing) return existing;
  const values = getArgumentValues(field, node, variables);
  const costs = field.args.map(({ name, type }) =>
    inputCost(rules, `${coordinate}(${name}:)`, getNamedType(type), values[name]),
  );
  const made = { values, cost: costs.reduce((sum, cost) => sum + cost, 0) };
  given.set(costed, made);
  return made;
}

/** The largest of the slicing arguments that were given; their defaults are given too. */
function sizeOf(listSize: ListSize, given: Data, coordinate: string): number | undefined {
  const sliced = listSize.slicingArguments.map((path) => sizeAt(given, path)).filter((value) => value !== undefined);
  if (listSize.requireOneSlicingArgument && sliced.length !== 1)
    throw errors.OPERATION_COST_UNKNOWN({
      message: `${coordinate} needs exactly one of these arguments: ${listSize.slicingArguments.join(", ")}.`,
      details: { coordinate, arguments: listSize.slicingArguments },
    });
  return sliced.length > 0 ? Math.max(...sliced) : listSize.assumedSize;
}

/** `input.page.first` is a path into input objects; a list counts its items. */
function sizeAt(given: Data, path: string): number | undefined {
  const value = path.split(".").reduce<unknown>((inner, name) => (isData(inner) ? inner[name] : undefined), given);
  if (Array.isArray(value)) return value.length;
  return typeof value === "number" ? Math.max(0, value) : undefined;
}

/** As the estimate, of what came: lists have the items that they have, and what is null costs nothing. */
function actualSelections(work: Work, type: GraphQLNamedType, set: SelectionSetNode, data: Data): number {
  const concrete = concreteType(work.schema, type, data);
  if (concrete) return actualOn(work, work.fieldsOf(concrete, set, work.fragments), data, undefined);
  // Without a __typename any type that has given a key may be it, and each key counts once.
  const counted = new Set<string>();
  return possibleTypes(work.schema, type).reduce(
    (sum, possible) => sum + actualOn(work, work.fieldsOf(possible, set, work.fragments), data, counted),
    0,
  );
}

function actualOn(work: Work, fields: readonly CostField[], data: Data, counted: Set<string> | undefined): number {
  let sum = 0;
  for (const costed of fields) {
    const value = data[costed.key];
    if (value === undefined || value === null || counted?.has(costed.key)) continue;
    counted?.add(costed.key);
    sum += givenTo(work, costed).cost + actualValue(work, costed, value);
  }
  return sum;
}

function actualValue(work: Work, costed: CostField, value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (Array.isArray(value)) {
    let sum = 0;
    for (const item of value) sum += actualValue(work, costed, item);
    return sum;
  }
  const { node, type, weight } = costed;
  return isCompositeType(type) && node.selectionSet && isData(value)
    ? weight + actualSelections(work, type, node.selectionSet, value)
    : weight;
}

function isData(value: unknown): value is Data {
  return typeof value === "object" && value !== null;
}

function concreteType(schema: GraphQLSchema, type: GraphQLNamedType, data: Data): GraphQLObjectType | undefined {
  if (isObjectType(type)) return type;
  const named = typeof data["__typename"] === "string" ? schema.getType(data["__typename"]) : undefined;
  return isObjectType(named) ? named : undefined;
}
