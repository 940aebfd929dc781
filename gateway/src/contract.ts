import type { Caller } from "@sba/platform/caller";
import {
  buildASTSchema,
  getNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  parse,
  printSchema,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type DefinitionNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type ObjectTypeDefinitionNode,
  type InterfaceTypeDefinitionNode,
} from "graphql";
import { errors } from "./errors.ts";

/**
 * A part of the API that some are given as the whole: the fields that are tagged for them. A type some of whose fields are tagged
 * has only those; what else the tagged fields give comes with them.
 */

export interface Contract {
  readonly schema: GraphQLSchema;
  /** Whether a caller is one of those it is for: a program that may do nothing beyond it. */
  readonly isFor: (caller: Caller | undefined) => boolean;
  /** What an operation asks for beyond the contract. */
  readonly beyond: (document: DocumentNode, operation: OperationDefinitionNode) => readonly string[];
}

/** Reads a contract; undefined when nothing is tagged for it. */
export function readContract(supergraphSdl: string, api: GraphQLSchema, tag: string): Contract | undefined {
  const { tagged, permissions } = readTags(parse(supergraphSdl), tag);
  if (tagged.size === 0) return undefined;
  const schema = cutOut(api, tagged);
  const known = new WeakMap<OperationDefinitionNode, readonly string[]>();
  return {
    schema,
    isFor: (caller) =>
      caller?.principalKind === "API_KEY" &&
      caller.permissions.size > 0 &&
      [...caller.permissions].every((each) => permissions.has(each)),
    beyond: (document, operation) => {
      const found = known.get(operation) ?? findBeyond(api, schema, document);
      known.set(operation, found);
      return found;
    },
  };
}

interface Tags {
  /** Fields by their type's name. */
  readonly tagged: ReadonlyMap<string, ReadonlySet<string>>;
  /** All that the tagged fields demand. */
  readonly permissions: ReadonlySet<string>;
}

function readTags({ definitions }: DocumentNode, tag: string): Tags {
  const tagged = new Map<string, Set<string>>();
  const permissions = new Set<string>();
  for (const definition of definitions) {
    if (!hasFields(definition)) continue;
    for (const field of (definition.fields ?? []).filter((each) => isTagged(each, tag))) {
      const names = tagged.get(definition.name.value) ?? new Set();
      tagged.set(definition.name.value, names.add(field.name.value));
      for (const scope of scopesOf(field)) permissions.add(scope);
    }
  }
  return { tagged, permissions };
}

function hasFields(node: DefinitionNode): node is ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode {
  return node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.INTERFACE_TYPE_DEFINITION;
}

function isTagged({ directives = [] }: FieldDefinitionNode, tag: string): boolean {
  return directives.some(
    ({ name, arguments: given = [] }) =>
      name.value === "tag" && given.some(({ value }) => value.kind === Kind.STRING && value.value === tag),
  );
}

function scopesOf({ directives = [] }: FieldDefinitionNode): readonly string[] {
  const scopes: string[] = [];
  for (const directive of directives.filter(({ name }) => name.value === "requiresScopes"))
    visit(directive, {
      StringValue: ({ value }) => {
        scopes.push(value);
      },
    });
  return scopes;
}

/** The API with only the tagged fields of types that have some, and of the other types those that these lead to. */
function cutOut(api: GraphQLSchema, tagged: Tags["tagged"]): GraphQLSchema {
  const roots = [api.getQueryType(), api.getMutationType(), api.getSubscriptionType()].filter((type) => !!type);
  const kept = new Set<string>();
  const keepsField = (type: string, field: string): boolean => tagged.get(type)?.has(field) ?? !isRoot(type);
  const isRoot = (type: string): boolean => roots.some(({ name }) => name === type);
  const follow = (name: string): void => {
    const type = api.getType(name);
    if (!type || kept.has(name)) return;
    kept.add(name);
    if (!isObjectType(type) && !isInterfaceType(type)) return;
    for (const field of Object.values(type.getFields())) {
      if (!keepsField(name, field.name)) continue;
      follow(getNamedType(field.type).name);
      for (const { type: argument } of field.args) follow(getNamedType(argument).name);
    }
  };
  for (const { name } of roots) if (tagged.has(name)) follow(name);
  const definitions = parse(printSchema(api)).definitions.flatMap((definition): DefinitionNode[] => {
    if (!("name" in definition) || !definition.name || definition.kind === Kind.DIRECTIVE_DEFINITION) return [];
    const { value: name } = definition.name;
    if (!kept.has(name)) return [];
    if (!hasFields(definition)) return [definition];
    const fields = (definition.fields ?? []).filter((field) => keepsField(name, field.name.value));
    // What it implements may have fields that it does not have here.
    return [{ ...definition, fields, interfaces: [] }];
  });
  return buildASTSchema({ kind: Kind.DOCUMENT, definitions });
}

function findBeyond(api: GraphQLSchema, contract: GraphQLSchema, document: DocumentNode): readonly string[] {
  const beyond = new Set<string>();
  const types = new TypeInfo(api);
  visit(
    document,
    visitWithTypeInfo(types, {
      Field: ({ name }) => {
        const parent = types.getParentType();
        if (!parent || name.value.startsWith("__")) return;
        const type = contract.getType(parent.name);
        const has = (isObjectType(type) || isInterfaceType(type)) && name.value in type.getFields();
        if (!has) beyond.add(`${parent.name}.${name.value}`);
      },
    }),
  );
  return [...beyond];
}

export function beyondContract(coordinates: readonly string[]) {
  return errors.FIELD_NOT_IN_CONTRACT({
    message: `What partners are given does not have ${coordinates.join(", ")}.`,
    details: { coordinates },
  });
}
