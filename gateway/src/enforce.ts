import type { Caller } from "@sba/platform/caller";
import { platformErrors, type AppError } from "@sba/platform/errors";
import {
  getNamedType,
  isAbstractType,
  isCompositeType,
  Kind,
  parse,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type ConstDirectiveNode,
  type ConstValueNode,
  type DocumentNode,
  type GraphQLCompositeType,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from "graphql";

/**
 * What the supergraph demands of a caller (@authenticated, @requiresScopes), checked on the whole operation before
 * anything is fetched, for HTTP and sockets alike. The subgraphs check again: this spares them the work.
 */

/** What one type or field demands: one scope set of each group, all scopes of the set. */
interface Requirement {
  readonly coordinate: string;
  /** AND of OR of AND, as @requiresScopes on several types and subgraphs composes. Empty: signed in is enough. */
  readonly groups: readonly (readonly (readonly string[])[])[];
}

export interface Requirements {
  /** What an operation demands, computed once for each document. */
  readonly of: (document: DocumentNode, operation: OperationDefinitionNode) => readonly Requirement[];
}

/** Those of a stream without which there is none: of its root field. The others are of fields, which may be null. */
export function ofStreamItself(requirements: readonly Requirement[]): readonly Requirement[] {
  return requirements.filter(({ coordinate }) => coordinate.startsWith("Subscription."));
}

/** Reads the demands of a supergraph. @throws for @policy, which nothing here would enforce. */
export function readRequirements(supergraphSdl: string, schema: GraphQLSchema): Requirements {
  const byCoordinate = indexRequirements(parse(supergraphSdl));
  const known = new WeakMap<OperationDefinitionNode, readonly Requirement[]>();
  return {
    of: (document, operation) => {
      const existing = known.get(operation);
      if (existing) return existing;
      const found = collect(schema, byCoordinate, document, operation);
      known.set(operation, found);
      return found;
    },
  };
}

/**
 * The first refusal of an operation, or undefined when the caller may run it.
 * CREDENTIALS_MISSING without a caller, PERMISSION_MISSING naming the permissions, TENANT_SUSPENDED when that is why.
 */
export function findRefusal(requirements: readonly Requirement[], caller: Caller | undefined): AppError | undefined {
  const [first] = requirements;
  if (!first) return undefined;
  if (!caller) return platformErrors.CREDENTIALS_MISSING({ details: { coordinate: first.coordinate } });
  const held: ReadonlySet<string> = caller.permissions;
  const refused = requirements.filter(
    ({ groups }) => !groups.every((sets) => sets.some((set) => set.every((scope) => held.has(scope)))),
  );
  if (refused.length === 0) return undefined;
  return caller.isSuspended ? platformErrors.TENANT_SUSPENDED() : permissionMissing(refused, held);
}

function permissionMissing(refused: readonly Requirement[], held: ReadonlySet<string>): AppError {
  const missing = new Set(
    refused.flatMap(({ groups }) => groups.flatMap((sets) => sets[0] ?? [])).filter((scope) => !held.has(scope)),
  );
  const permissions = [...missing].toSorted();
  return platformErrors.PERMISSION_MISSING({
    message: `${permissions.length === 1 ? "The permission" : "The permissions"} ${permissions.join(", ")} ${permissions.length === 1 ? "is" : "are"} missing.`,
    details: { permissions, coordinates: refused.map(({ coordinate }) => coordinate) },
  });
}

type RequirementIndex = ReadonlyMap<string, Requirement>;

function indexRequirements(supergraph: DocumentNode): RequirementIndex {
  const index = new Map<string, Requirement>();
  const add = (coordinate: string, directives: readonly ConstDirectiveNode[] | undefined): void => {
    const requirement = requirementOf(coordinate, directives ?? []);
    if (requirement) index.set(coordinate, requirement);
  };
  for (const definition of supergraph.definitions) {
    if (
      !("name" in definition) ||
      !definition.name ||
      definition.kind === Kind.DIRECTIVE_DEFINITION ||
      !("directives" in definition)
    )
      continue;
    const typeName = definition.name.value;
    add(typeName, definition.directives as readonly ConstDirectiveNode[]);
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION && definition.kind !== Kind.INTERFACE_TYPE_DEFINITION) continue;
    for (const field of definition.fields ?? []) add(`${typeName}.${field.name.value}`, field.directives);
  }
  return index;
}

function requirementOf(coordinate: string, directives: readonly ConstDirectiveNode[]): Requirement | undefined {
  if (directives.some(({ name }) => name.value === "policy"))
    throw new Error(`${coordinate}: this gateway does not enforce @policy`);
  const scopes = directives.filter(({ name }) => name.value === "requiresScopes").map(scopesOf);
  const authenticated = directives.some(({ name }) => name.value === "authenticated");
  return authenticated || scopes.length > 0 ? { coordinate, groups: scopes } : undefined;
}

function scopesOf({ arguments: given }: ConstDirectiveNode): string[][] {
  const value = given?.find(({ name }) => name.value === "scopes")?.value;
  return listOf(value).map((set) => listOf(set).map((scope) => (scope.kind === Kind.STRING ? scope.value : "")));
}

function listOf(value: ConstValueNode | undefined): readonly ConstValueNode[] {
  return value?.kind === Kind.LIST ? value.values : [];
}

function collect(
  schema: GraphQLSchema,
  index: RequirementIndex,
  document: DocumentNode,
  operation: OperationDefinitionNode,
): readonly Requirement[] {
  const found = new Map<string, Requirement>();
  const add = (coordinate: string): void => {
    const requirement = index.get(coordinate);
    if (requirement) found.set(coordinate, requirement);
  };
  const types = new TypeInfo(schema);
  // Fragments are visited whether this operation uses them or not, except those of a document with several operations.
  const relevant = reachable(document, operation);
  visit(
    relevant,
    visitWithTypeInfo(types, {
      Field: (node) => {
        const parent = types.getParentType();
        const field = types.getFieldDef();
        if (!parent || !field || node.name.value.startsWith("__")) return;
        // An interface's field is answered by its implementations: what any of them demands is demanded.
        for (const type of selfAndPossible(schema, parent)) add(`${type.name}.${node.name.value}`);
        const result = getNamedType(field.type);
        if (isCompositeType(result)) for (const type of selfAndPossible(schema, result)) add(type.name);
      },
    }),
  );
  return [...found.values()];
}

function selfAndPossible(schema: GraphQLSchema, type: GraphQLCompositeType): readonly GraphQLCompositeType[] {
  return isAbstractType(type) ? [type, ...schema.getPossibleTypes(type)] : [type];
}

/** The document with one operation and the fragments that it uses. */
function reachable(document: DocumentNode, operation: OperationDefinitionNode): DocumentNode {
  const fragments = new Map(
    document.definitions.flatMap((definition) =>
      definition.kind === Kind.FRAGMENT_DEFINITION ? [[definition.name.value, definition]] : [],
    ),
  );
  const used = new Set<string>();
  const follow = (node: OperationDefinitionNode | DocumentNode["definitions"][number]): void => {
    visit(node, {
      FragmentSpread: ({ name }) => {
        const fragment = fragments.get(name.value);
        if (!fragment || used.has(name.value)) return;
        used.add(name.value);
        follow(fragment);
      },
    });
  };
  follow(operation);
  return { kind: Kind.DOCUMENT, definitions: [operation, ...[...used].flatMap((name) => fragments.get(name) ?? [])] };
}
