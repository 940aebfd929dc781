/**
 * Writes the manifests of our own clients: the documents that this version of each sends, by which a gateway knows them
 * (`gateway/src/trusted-documents.ts`), and by which later schemas are checked. They stay when the next version has its own.
 * With `--check` nothing is written, and a manifest that is not up to date fails.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { Kind, print, visit, type DocumentNode, type SelectionSetNode } from "graphql";
import { documentId } from "../gateway/src/manifests.ts";

const root = new URL("../", import.meta.url);
/** Where each client has its documents: the folders of `graphql.ts`, which codegen writes. */
const CONSOLE = "clients/console/src/generated/";
const CLIENTS = [
  { folder: "clients/typescript/", generated: ["clients/typescript/src/generated/"] },
  {
    folder: "clients/console/",
    generated: (await readdir(new URL(CONSOLE, root), { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${CONSOLE}${name}/`)
      .sort(),
  },
] as const;

/** Apollo Client asks for the type of every object, after what was written. */
function withTypenames(document: DocumentNode): DocumentNode {
  return visit(document, {
    SelectionSet: (node, _key, parent): SelectionSetNode | undefined => {
      const isRoot = parent !== undefined && "kind" in parent && parent.kind === Kind.OPERATION_DEFINITION;
      const has = node.selections.some((each) => each.kind === Kind.FIELD && each.name.value === "__typename");
      if (isRoot || has) return undefined;
      const typename = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: "__typename" } } as const;
      return { ...node, selections: [...node.selections, typename] };
    },
  });
}

async function makeManifest({ folder, generated }: (typeof CLIENTS)[number]) {
  const { name, version: whole } = JSON.parse(await readFile(new URL(`${folder}package.json`, root), "utf8")) as {
    readonly name: string;
    readonly version: string;
  };
  // What follows the + says which schema it was built for.
  const version = whole.split("+", 1)[0] ?? whole;
  const exported = await Promise.all(
    generated.map(
      async (each) => (await import(new URL(`${each}graphql.ts`, root).href)) as Readonly<Record<string, unknown>>,
    ),
  );
  const operations = exported
    .flatMap((module) => Object.values(module))
    .filter((each): each is DocumentNode => typeof each === "object" && each !== null && "definitions" in each)
    .flatMap((document) => [document, withTypenames(document)])
    .flatMap((document) => {
      const operation = document.definitions.find((each) => each.kind === Kind.OPERATION_DEFINITION);
      const body = print(document);
      return operation?.name
        ? [{ id: documentId(body), name: operation.name.value, type: operation.operation, body }]
        : [];
    });
  const unique = [...new Map(operations.map((each) => [each.id, each])).values()];
  const manifest = {
    format: "apollo-persisted-query-manifest",
    version: 1,
    client: { name, version },
    operations: unique,
  };
  return {
    path: `schema/documents/${name.replace(/^@/, "").replace("/", "-")}@${version}.json`,
    text: `${JSON.stringify(manifest, null, 2)}\n`,
  };
}

for (const client of CLIENTS) {
  const { path, text } = await makeManifest(client);
  if (!process.argv.includes("--check")) await writeFile(new URL(path, root), text);
  else if ((await readFile(new URL(path, root), "utf8").catch(() => "")) !== text) {
    console.error(`${path} is not up to date: run npm run codegen and commit it`);
    process.exitCode = 1;
  }
}
