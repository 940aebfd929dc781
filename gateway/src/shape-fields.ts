import {
  isCompositeType,
  isCustomScalarType,
  isEnumType,
  isListType,
  isNonNullType,
  isSubtype,
  typenameFieldName,
  Variable,
  type CompositeType,
  type FieldSelection,
  type NamedType,
  type Schema,
  type Selection,
  type SelectionSet,
  type Type,
} from "@apollo/federation-internals";

/**
 * What a selection means for each type that an answer can have: fragments are spread and their conditions decided, so that
 * shaping an answer (`shape.ts`) is a walk through a list.
 */

export interface FieldShape {
  readonly key: string;
  /** The directives that it stands under: each must let it pass. */
  readonly conditions: readonly Condition[];
  /** As far as the fragments around it narrow it. */
  readonly parentType: CompositeType;
  readonly content:
    ValueShape | { readonly kind: "typename" } | { readonly kind: "introspection"; readonly field: FieldSelection };
}

export interface Condition {
  readonly variable: string;
  /** The value that lets the field pass. */
  readonly wanted: boolean;
}

export interface ValueShape {
  readonly kind: "value";
  readonly nonNull: boolean;
  /** Without the `!`. */
  readonly type: Type;
  /** True where something is selected of it: it, or what its lists hold, is an object. */
  readonly selected: boolean;
  readonly of: ListShape | ObjectShape | LeafShape;
}

export interface ListShape {
  readonly kind: "list";
  readonly item: ValueShape;
}

export interface ObjectShape {
  readonly kind: "object";
  readonly fieldsOf: FieldsOf;
}

interface LeafShape {
  readonly kind: "leaf";
  readonly isValid: (value: unknown) => boolean;
}

/** The fields of an answer with this `__typename`, or without one; undefined for a type that the API does not have. */
export type FieldsOf = (typename: string | undefined) => readonly FieldShape[] | undefined;

export function fieldsByTypename(
  schema: Schema,
  selectionSet: SelectionSet,
  typeOf: (typename: string | undefined) => CompositeType | undefined,
): FieldsOf {
  const known = new Map<string | undefined, readonly FieldShape[]>();
  return (typename) => {
    const existing = known.get(typename);
    if (existing) return existing;
    const parentType = typeOf(typename);
    if (!parentType) return undefined;
    const made = listFields(schema, selectionSet, { parentType, typename, conditions: [] });
    known.set(typename, made);
    return made;
  };
}

interface Place {
  readonly parentType: CompositeType;
  readonly typename: string | undefined;
  readonly conditions: readonly Condition[];
}

function listFields(schema: Schema, selectionSet: SelectionSet, place: Place): FieldShape[] {
  return selectionSet.selections().flatMap((selection) => {
    const own = conditionsOf(schema, selection);
    if (own === "never") return [];
    const conditions = [...place.conditions, ...own];
    if (selection.kind === "FieldSelection") return [toField(schema, selection, { ...place, conditions })];
    const { typeCondition } = selection.element;
    if (!applies(schema, typeCondition, place)) return [];
    const parentType = typeCondition ?? place.parentType;
    return listFields(schema, selection.selectionSet, { ...place, conditions, parentType });
  });
}

function applies(schema: Schema, typeCondition: CompositeType | undefined, { typename, parentType }: Place): boolean {
  if (!typeCondition) return true;
  const type = typename === undefined ? parentType : schema.type(typename);
  return type !== undefined && isSubtype(typeCondition, type);
}

function conditionsOf(schema: Schema, { element }: Selection): readonly Condition[] | "never" {
  const conditions: Condition[] = [];
  const directives = [
    { directive: element.appliedDirectivesOf(schema.skipDirective())[0], wanted: false },
    { directive: element.appliedDirectivesOf(schema.includeDirective())[0], wanted: true },
  ];
  for (const { directive, wanted } of directives) {
    const value = directive?.arguments().if;
    if (value instanceof Variable) conditions.push({ variable: value.name, wanted });
    else if (directive && value !== wanted) return "never";
  }
  return conditions;
}

function toField(schema: Schema, selection: FieldSelection, { parentType, conditions }: Place): FieldShape {
  const { element: field, selectionSet } = selection;
  const where = { key: field.responseName(), conditions, parentType };
  if (field.definition.isSchemaIntrospectionField())
    return { ...where, content: { kind: "introspection", field: selection } };
  if (field.name === typenameFieldName) return { ...where, content: { kind: "typename" } };
  return { ...where, content: toValue(schema, field.definition.type as Type, selectionSet) };
}

function toValue(schema: Schema, declared: Type, selectionSet: SelectionSet | undefined): ValueShape {
  const nonNull = isNonNullType(declared);
  const type = nonNull ? (declared.ofType as Type) : declared;
  const selected = selectionSet !== undefined;
  return { kind: "value", nonNull, type, selected, of: toNullable(schema, type, selectionSet) };
}

function toNullable(schema: Schema, type: Type, selectionSet: SelectionSet | undefined): ValueShape["of"] {
  if (isListType(type)) return { kind: "list", item: toValue(schema, type.ofType as Type, selectionSet) };
  if (!isCompositeType(type)) return { kind: "leaf", isValid: leafCheckOf(schema, type as NamedType) };
  if (!selectionSet) throw new Error(`nothing is selected of ${type.name}`);
  const typeOf = (typename: string | undefined): CompositeType | undefined => {
    if (typename === undefined) return type;
    const named = schema.type(typename);
    return named && isCompositeType(named) ? named : undefined;
  };
  return { kind: "object", fieldsOf: fieldsByTypename(schema, selectionSet, typeOf) };
}

const WHOLE_NUMBER = /^-?(?:0|[1-9][0-9]*)$/;

function leafCheckOf(schema: Schema, type: NamedType): LeafShape["isValid"] {
  if (isCustomScalarType(type)) return () => true;
  if (isEnumType(type)) return (value) => typeof value === "string" && type.value(value) !== undefined;
  if (type === schema.booleanType()) return (value) => typeof value === "boolean";
  if (type === schema.floatType()) return (value) => Number.isFinite(value);
  const isWhole = (value: unknown): boolean => Number.isFinite(value) && WHOLE_NUMBER.test(String(value));
  if (type === schema.intType()) return isWhole;
  if (type === schema.idType()) return (value) => typeof value === "string" || isWhole(value);
  return (value) => typeof value === "string";
}
