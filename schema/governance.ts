import { CriticalityLevel, diff } from "@graphql-inspector/core";
import {
  getNamedType,
  GraphQLError,
  isInterfaceType,
  isObjectType,
  Kind,
  parse,
  validate,
  type GraphQLSchema,
} from "graphql";
import { z } from "zod";

/** What a schema may not do to those who use it: break what was released, refuse what is shipped, or name things as nothing else is named. */

/** A breaking change that was meant, with why nobody is hurt by it. It is taken out when the next schema is released. */
export const acceptedChangesSchema = z.array(
  z.strictObject({
    /** As `npm run schema -- --check` names it: `FIELD_REMOVED Query.runs`. */
    change: z.string().min(1),
    reason: z.string().min(20, "says why nobody is hurt"),
  }),
);
export type AcceptedChanges = z.infer<typeof acceptedChangesSchema>;

/** Breaking changes since the released schema that are not accepted, and acceptances of what is no change. */
export async function findBreakingChanges(
  released: GraphQLSchema,
  current: GraphQLSchema,
  accepted: AcceptedChanges,
): Promise<readonly string[]> {
  const changes = await diff(released, current);
  const breaking = new Map(
    changes
      .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
      .map(({ type, path, message }) => [`${type} ${path ?? ""}`.trim(), message]),
  );
  const known = new Set(accepted.map(({ change }) => change));
  return [
    ...[...breaking]
      .filter(([change]) => !known.has(change))
      .map(([change, message]) => `breaks what is released: ${message} (${change})`),
    ...[...known]
      .filter((change) => !breaking.has(change))
      .map((change) => `accepted-changes.json accepts what is no breaking change: ${change}`),
  ];
}

/** What is wrong with documents that clients have been shipped with, by whose they are. */
export function findRefusedDocuments(schema: GraphQLSchema, documents: ReadonlyMap<string, string>): readonly string[] {
  return [...documents].flatMap(([name, text]) => {
    try {
      return validate(schema, parse(text)).map(({ message }) => `refuses what is shipped: ${name}: ${message}`);
    } catch (error) {
      return [`refuses what is shipped: ${name}: ${error instanceof GraphQLError ? error.message : String(error)}`];
    }
  });
}

/** Connections are those of Relay: `first` at least, edges of a cursor and a node, and a PageInfo. */
export function findOddPages(schema: GraphQLSchema): readonly string[] {
  return Object.values(schema.getTypeMap())
    .filter((type) => isObjectType(type) || isInterfaceType(type))
    .filter(({ name }) => !name.startsWith("__"))
    .flatMap((type) =>
      Object.values(type.getFields()).flatMap((field) => {
        const result = getNamedType(field.type);
        const isConnection = result.name.endsWith("Connection");
        const first = field.args.find(({ name }) => name === "first");
        const after = field.args.find(({ name }) => name === "after");
        const coordinate = `${type.name}.${field.name}`;
        if (isConnection !== (first !== undefined))
          return [`${coordinate}: what has "first" gives a Connection, and nothing else does`];
        if (!isConnection || !isObjectType(result)) return [];
        const fields = result.getFields();
        if (!after || !fields["edges"] || String(fields["pageInfo"]?.type) !== "PageInfo!")
          return [`${coordinate}: a connection takes "after", and has edges and pageInfo`];
        return [];
      }),
    );
}

/** Operations of `.graphql` files, each with the fragments of all of them that it uses. */
export function operationsIn(texts: readonly string[]): ReadonlyMap<string, string> {
  const definitions = parse(texts.join("\n")).definitions;
  const fragments = definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION);
  return new Map(
    definitions.flatMap((each) => {
      if (each.kind !== Kind.OPERATION_DEFINITION || !each.name) return [];
      return [[each.name.value, textOf(each, fragments)]];
    }),
  );
}

type Definition = ReturnType<typeof parse>["definitions"][number];

function textOf(operation: Definition, fragments: readonly Definition[]): string {
  const source = (node: Definition): string => node.loc?.source.body.slice(node.loc.start, node.loc.end) ?? "";
  const used = new Set<Definition>();
  const follow = (text: string): void => {
    for (const fragment of fragments) {
      if (fragment.kind !== Kind.FRAGMENT_DEFINITION || used.has(fragment)) continue;
      if (!new RegExp(`\\.\\.\\.\\s*${fragment.name.value}\\b`).test(text)) continue;
      used.add(fragment);
      follow(source(fragment));
    }
  };
  follow(source(operation));
  return [operation, ...used].map(source).join("\n");
}
