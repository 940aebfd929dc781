import { readFile } from "node:fs/promises";
import type { IdType } from "@sba/platform/ids";
import {
  buildASTSchema,
  getDirectiveValues,
  getNamedType,
  isAbstractType,
  isObjectType,
  parse,
  type GraphQLField,
  type GraphQLObjectType,
} from "graphql";
import { expect, test } from "vitest";
import { nodeKinds } from "./node.ts";

/** What `node(id)` asks for cannot be gone around: fields that lead to an entity ask for it as well. */

const sdl = await readFile(new URL("../../../../schema/supergraph.graphql", import.meta.url), "utf8");
const schema = buildASTSchema(parse(sdl), { assumeValidSDL: true });
const requiresScopes = schema.getDirective("requiresScopes")!;

/** Shown wherever they are named. */
const SHOWN_TO_ALL: ReadonlySet<string> = new Set<IdType>([
  // Who did something: a name and a kind.
  "Principal",
  // The caller's own; what is not for everybody in it asks by itself.
  "Tenant",
]);

/** Fields that lead to an entity without its permission, and why. */
const SHOWN_BY_FIELD: Readonly<Record<string, string>> = {
  "ApprovalDecided.approval": "What happened to the run, as its event carried it.",
  "ApprovalRequested.approval": "What happened to the run, as its event carried it.",
  "Run.agent": "The name of who answered; its versions ask for what they are.",
  "ToolCallEdge.node": "Of unknownToolCalls: nobody can say what became of a call without seeing it. Its run asks.",
};

type Field = GraphQLField<unknown, unknown>;

function scopesOf({ astNode }: Field): readonly string[] {
  const values = astNode ? getDirectiveValues(requiresScopes, astNode) : undefined;
  return ((values?.["scopes"] ?? []) as string[][]).flat();
}

function objectsOf({ type }: Field): readonly GraphQLObjectType[] {
  const named = getNamedType(type);
  if (isAbstractType(named)) return schema.getPossibleTypes(named);
  return isObjectType(named) ? [named] : [];
}

function permissionFor({ name }: GraphQLObjectType): string | undefined {
  return nodeKinds[name as IdType]?.permission ?? undefined;
}

/** Whoever may change something sees what became of it: what a mutation answers with, itself or in its payload. */
function permissionsForAnswer(mutation: Field): readonly string[] {
  const answers = objectsOf(mutation);
  const payloads = answers.filter(({ name }) => name.endsWith("Payload"));
  const carried = payloads.flatMap((payload) => Object.values(payload.getFields()).flatMap(objectsOf));
  return [...answers, ...carried].flatMap((type) => permissionFor(type) ?? []);
}

/** The fields by which who holds no more than what they and those before them ask for is led to an entity. */
function findOpenFields(root: GraphQLObjectType, rootField: Field, given: readonly string[]): ReadonlySet<string> {
  const open = new Set<string>();
  const seen = new Set<string>();
  const follow = (parent: GraphQLObjectType, field: Field, before: readonly string[]): void => {
    const held = [...new Set([...before, ...scopesOf(field)])].toSorted();
    for (const type of objectsOf(field)) {
      const permission = permissionFor(type);
      const isOpen = permission !== undefined && !held.includes(permission) && !SHOWN_TO_ALL.has(type.name);
      if (isOpen) open.add(`${parent.name}.${field.name}`);
      const place = [type.name, ...held].join(" ");
      if (seen.has(place)) continue;
      seen.add(place);
      for (const next of Object.values(type.getFields())) follow(type, next, held);
    }
  };
  follow(root, rootField, given);
  return open;
}

test("no field leads to an entity without its permission, but those that are named here", () => {
  const roots = [schema.getQueryType()!, schema.getMutationType()!, schema.getSubscriptionType()!];
  const open = roots.flatMap((root) =>
    Object.values(root.getFields())
      // It asks for each entity's permission itself.
      .filter(({ name }) => name !== "node")
      .flatMap((field) => [
        ...findOpenFields(root, field, root === schema.getMutationType() ? permissionsForAnswer(field) : []),
      ]),
  );
  expect([...new Set(open)].toSorted()).toEqual(Object.keys(SHOWN_BY_FIELD).toSorted());
});
