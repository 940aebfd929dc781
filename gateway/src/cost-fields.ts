import {
  doTypesOverlap,
  getDirectiveValues,
  getNamedType,
  getNullableType,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  isCompositeType,
  isListType,
  Kind,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  type SelectionNode,
  type SelectionSetNode,
} from "graphql";
import { weightOf, type CostRules, type ListSize } from "./cost-rules.ts";

/** A selection on one type as costs see it, found out once: its fragments spread out, and without the fields that can cost nothing. */

export interface CostField {
  readonly node: FieldNode;
  readonly key: string;
  readonly field: GraphQLField<unknown, unknown>;
  /** `Type.field`. */
  readonly coordinate: string;
  readonly type: GraphQLNamedType;
  /** Of one value, what it contains aside. */
  readonly weight: number;
  readonly isList: boolean;
  readonly listSize: ListSize | undefined;
  /** What may be skipped with it: the field itself and the fragments that it is in. */
  readonly guards: readonly SelectionNode[];
}

export type CostFieldsOf = (
  type: GraphQLObjectType,
  set: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
) => readonly CostField[];

export function createCostFields(schema: GraphQLSchema, rules: CostRules): CostFieldsOf {
  const known = new WeakMap<SelectionSetNode, Map<GraphQLObjectType, readonly CostField[]>>();
  return (type, set, fragments) => {
    const byType = known.get(set) ?? new Map<GraphQLObjectType, readonly CostField[]>();
    known.set(set, byType);
    const existing = byType.get(type);
    if (existing) return existing;
    const made = collect({ schema, rules, fragments, type }, set, []);
    byType.set(type, made);
    return made;
  };
}

interface On {
  readonly schema: GraphQLSchema;
  readonly rules: CostRules;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly type: GraphQLObjectType;
}

function collect(on: On, { selections }: SelectionSetNode, outer: readonly SelectionNode[]): readonly CostField[] {
  return selections.flatMap((node) => {
    const guards = node.directives && node.directives.length > 0 ? [...outer, node] : outer;
    if (node.kind === Kind.FIELD) return toCostField(on, node, guards);
    const fragment = node.kind === Kind.INLINE_FRAGMENT ? node : on.fragments.get(node.name.value);
    const condition = fragment?.typeCondition?.name.value;
    const conditionType = condition === undefined ? on.type : on.schema.getType(condition);
    const applies =
      isCompositeType(conditionType) &&
      (conditionType === on.type || doTypesOverlap(on.schema, conditionType, on.type));
    return fragment && applies ? collect(on, fragment.selectionSet, guards) : [];
  });
}

function toCostField({ rules, type: parent }: On, node: FieldNode, guards: readonly SelectionNode[]): CostField[] {
  const field = parent.getFields()[node.name.value];
  if (!field) return [];
  const coordinate = `${parent.name}.${field.name}`;
  const type = getNamedType(field.type);
  const weight = weightOf(rules, coordinate, type);
  if (weight === 0 && !isCompositeType(type) && field.args.length === 0) return [];
  const key = (node.alias ?? node.name).value;
  const isList = isListType(getNullableType(field.type));
  return [{ node, key, field, coordinate, type, weight, isList, listSize: rules.listSizes.get(coordinate), guards }];
}

/** Whether the directives leave a field out. */
export function isSkipped({ guards }: CostField, variables: Readonly<Record<string, unknown>>): boolean {
  return guards.some(
    (node) =>
      getDirectiveValues(GraphQLSkipDirective, node, variables)?.["if"] === true ||
      getDirectiveValues(GraphQLIncludeDirective, node, variables)?.["if"] === false,
  );
}
