import type { Caller } from "@sba/platform/caller";
import { platformErrors, type AppError } from "@sba/platform/errors";
import {
  getNamedType,
  isAbstractType,
  Kind,
  parse,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type ConstDirectiveNode,
  type ConstValueNode,
  type DocumentNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from "graphql";
import { errors } from "./errors.ts";

/**
 * What the supergraph demands of a caller (@authenticated, @requiresScopes, @policy), checked on the whole operation before
 * anything is fetched, for HTTP and sockets alike. Scopes the subgraphs check again: this spares them the work. Of policies
 * they know nothing.
 */

/** AND of OR of AND: of each directive one set, all names of the set. No set at all is met by nobody. */
type Groups = readonly (readonly (readonly string[])[])[];

/** What one type or field demands beside being signed in. */
interface Requirement {
  readonly coordinate: string;
  readonly scopes: Groups;
  readonly policies: Groups;
}

export interface Requirements {
  /** What an operation demands, computed once for each document. */
  readonly of: (document: DocumentNode, operation: OperationDefinitionNode) => readonly Requirement[];
  /** Every policy that anything demands. */
  readonly policies: ReadonlySet<string>;
}

/** As the supergraph calls the directives: whoever links them may give them other names. */
export interface SecurityDirectives {
  readonly authenticated: string;
  readonly requiresScopes: string;
  readonly policy: string;
}

const USUAL_NAMES: SecurityDirectives = {
  authenticated: "authenticated",
  requiresScopes: "requiresScopes",
  policy: "policy",
};

/**
 * Those without which there is no stream: of its root field, and all policies. The other scopes are of fields, which may be
 * null, and their subgraphs see to that.
 */
export function ofStreamItself(requirements: readonly Requirement[]): readonly Requirement[] {
  return requirements.filter(({ coordinate, policies }) => /^Subscription\b/.test(coordinate) || policies.length > 0);
}

/** Reads the demands of a supergraph. */
export function readRequirements(
  supergraphSdl: string,
  schema: GraphQLSchema,
  names: SecurityDirectives = USUAL_NAMES,
): Requirements {
  const byCoordinate = indexRequirements(parse(supergraphSdl), names);
  const known = new WeakMap<OperationDefinitionNode, readonly Requirement[]>();
  return {
    policies: new Set([...byCoordinate.values()].flatMap(({ policies }) => policies.flat(2))),
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
 * CREDENTIALS_MISSING without a caller, PERMISSION_MISSING and POLICY_MISSING naming what is missing, TENANT_SUSPENDED when that is why.
 */
export function findRefusal(requirements: readonly Requirement[], caller: Caller | undefined): AppError | undefined {
  const [first] = requirements;
  if (!first) return undefined;
  if (!caller) return platformErrors.CREDENTIALS_MISSING({ details: { coordinate: first.coordinate } });
  const permissions = findMissing(requirements, "scopes", caller.permissions);
  const missing = permissions ?? findMissing(requirements, "policies", caller.policies ?? NONE);
  if (!missing) return undefined;
  if (caller.isSuspended) return platformErrors.TENANT_SUSPENDED();
  const { names, coordinates } = missing;
  return permissions
    ? platformErrors.PERMISSION_MISSING({
        message: `${names.length === 1 ? "The permission" : "The permissions"} ${names.join(", ")} ${names.length === 1 ? "is" : "are"} missing.`,
        details: { permissions: names, coordinates },
      })
    : errors.POLICY_MISSING({
        message: `${names.length === 1 ? "The policy" : "The policies"} ${names.join(", ")} ${names.length === 1 ? "does" : "do"} not hold for you.`,
        details: { policies: names, coordinates },
      });
}

const NONE: ReadonlySet<string> = new Set();

interface Missing {
  /** Of each group that is not met, those of its first set. */
  readonly names: readonly string[];
  readonly coordinates: readonly string[];
}

function findMissing(
  requirements: readonly Requirement[],
  kind: "scopes" | "policies",
  held: ReadonlySet<string>,
): Missing | undefined {
  const isMet = (sets: Groups[number]): boolean => sets.some((set) => set.every((name) => held.has(name)));
  const refused = requirements.filter((requirement) => !requirement[kind].every(isMet));
  if (refused.length === 0) return undefined;
  const unmet = refused.flatMap((requirement) => requirement[kind].filter((sets) => !isMet(sets)));
  const names = new Set(unmet.flatMap(([first = []]) => first).filter((name) => !held.has(name)));
  return { names: [...names].toSorted(), coordinates: refused.map(({ coordinate }) => coordinate) };
}

type RequirementIndex = ReadonlyMap<string, Requirement>;

function indexRequirements(supergraph: DocumentNode, names: SecurityDirectives): RequirementIndex {
  const index = new Map<string, Requirement>();
  const add = (coordinate: string, directives: readonly ConstDirectiveNode[] | undefined): void => {
    const requirement = requirementOf(coordinate, directives ?? [], names);
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

function requirementOf(
  coordinate: string,
  directives: readonly ConstDirectiveNode[],
  names: SecurityDirectives,
): Requirement | undefined {
  const scopes = groupsOf(directives, names.requiresScopes);
  const policies = groupsOf(directives, names.policy);
  const isAuthenticated = directives.some(({ name }) => name.value === names.authenticated);
  return isAuthenticated || scopes.length + policies.length > 0 ? { coordinate, scopes, policies } : undefined;
}

/** Either directive has one argument: its sets. */
function groupsOf(directives: readonly ConstDirectiveNode[], directive: string): Groups {
  return directives
    .filter(({ name }) => name.value === directive)
    .map(({ arguments: given }) =>
      listOf(given?.[0]?.value).map((set) => listOf(set).map((each) => (each.kind === Kind.STRING ? each.value : ""))),
    );
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
        // A root type is nobody's result.
        add(parent.name);
        // An interface's field is answered by its implementations: what any of them demands is demanded.
        for (const type of selfAndPossible(schema, parent)) add(`${type.name}.${node.name.value}`);
        for (const type of selfAndPossible(schema, getNamedType(field.type))) add(type.name);
      },
    }),
  );
  return [...found.values()];
}

function selfAndPossible(schema: GraphQLSchema, type: GraphQLNamedType): readonly GraphQLNamedType[] {
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
