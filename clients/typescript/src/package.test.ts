import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startApi } from "./testing.ts";

/** The package as it is published, in the project of somebody else, and the README's examples there. */

const PACKAGE = join(import.meta.dirname, "..");
const TSC = join(PACKAGE, "../../node_modules/typescript/bin/tsc");
const run = promisify(execFile);
const node = async (args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<string> => {
  const { stdout } = await run(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    cwd,
    env,
  }).catch((error: unknown) => {
    const { stdout: printed, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${printed}\n${stderr}`);
  });
  return stdout;
};

interface Manifest {
  readonly name: string;
  readonly files: readonly string[];
  readonly publishConfig: { readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>> };
}
let project: string;
let manifest: Manifest;
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "sba-client-"));
  const installed = join(project, "node_modules/@sba/client");
  await node([TSC, "-p", join(PACKAGE, "tsconfig.build.json"), "--outDir", join(installed, "dist")], PACKAGE);
  manifest = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8")) as Manifest;
  // What pnpm does when it packs.
  await writeFile(join(installed, "package.json"), JSON.stringify({ ...manifest, ...manifest.publishConfig }));
  for (const name of await modulesOf(join(PACKAGE, "node_modules"))) {
    const link = join(project, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(PACKAGE, "node_modules", name), link);
  }
  await symlink(join(PACKAGE, "../../node_modules/@types/node"), join(project, "node_modules/@types/node"));
});
afterAll(() => rm(project, { recursive: true, force: true }));

async function modulesOf(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith(".") && name !== "@sba");
  const scoped = await Promise.all(
    names
      .filter((name) => name.startsWith("@"))
      .map(async (scope) => (await readdir(join(folder, scope))).map((name) => `${scope}/${name}`)),
  );
  return [...names.filter((name) => !name.startsWith("@")), ...scoped.flat()];
}

async function examples(): Promise<{ readonly file: string; readonly code: string; readonly isRun: boolean }[]> {
  const readme = await readFile(join(PACKAGE, "README.md"), "utf8");
  return [...readme.matchAll(/^```(tsx?)( run)?\n(.*?)^```$/gms)].map(
    ([, extension = "", isRun, code = ""], index) => ({
      code,
      file: `example-${index}.${extension}`,
      isRun: isRun !== undefined,
    }),
  );
}

test("every file that the package says it has is there", async () => {
  const dist = await readdir(join(project, "node_modules/@sba/client/dist"), { recursive: true });
  const said = Object.values(manifest.publishConfig.exports).flatMap((each) => Object.values(each));
  expect(said.length).toBeGreaterThan(0);
  for (const file of said) expect(dist).toContain(file.replace("./dist/", ""));
  expect(dist.filter((file) => file.includes("test"))).toEqual([]);
});

describe("the README's examples", () => {
  test("are of the types that the package says, and a wrong one would be found", async () => {
    const found = await examples();
    expect(found.length).toBeGreaterThan(5);
    for (const { file, code } of found) await writeFile(join(project, file), code);
    const wrong = [
      'import { createClient, RunDocument } from "@sba/client";',
      'const client = createClient({ url: "" });',
      "// @ts-expect-error an id is text",
      "await client.query(RunDocument, { id: true });",
      'const { run } = await client.query(RunDocument, { id: "run_1" });',
      "// @ts-expect-error a run has no such field",
      "console.log(run.colour);",
    ];
    await writeFile(join(project, "wrong.ts"), wrong.join("\n"));
    const compilerOptions = {
      ...{
        strict: true,
        noEmit: true,
        target: "es2022",
        module: "esnext",
        moduleResolution: "bundler",
        jsx: "react-jsx",
      },
      ...{ lib: ["es2024", "dom"], types: ["node"], moduleDetection: "force", skipLibCheck: true },
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts", "*.tsx"] }));
    await node([TSC, "-p", "."], project);
  });

  test("that are marked as such run on Node as they stand", async () => {
    const api = await startApi();
    api.answer = (_request, response) => {
      response.end(JSON.stringify({ data: { startRun: { id: "run_1" } } }));
    };
    api.stream = async function* () {
      yield { data: { runEvents: { __typename: "TokenDelta", cursor: "c1", seq: 1, text: "Speed, " } } };
      yield { data: { runEvents: { __typename: "TokenDelta", cursor: "c2", seq: 2, text: "mostly." } } };
      await Promise.resolve();
    };
    const [example, ...others] = (await examples()).filter(({ isRun }) => isRun);
    expect(others).toEqual([]);
    await writeFile(join(project, "run.ts"), example?.code ?? "");
    await writeFile(join(project, "package.json"), '{"type":"module"}');
    const env = { ...process.env, SBA_URL: api.url, SBA_TOKEN: "a-token" };
    expect(await node(["run.ts"], project, env)).toBe("Speed, mostly.");
    await api.close();
  });
});
