import { text as readText } from "node:stream/consumers";
import { executeTool } from "@sba/integrations/index";
import { toolContract } from "@sba/integrations/testing";
import type { Caller } from "@sba/platform/caller";
import { decodeId, encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { findArtifacts, type Artifact } from "../artifact/artifact.ts";
import { blobStore } from "@sba/platform/blobs";
import { schema } from "../schema.ts";
import { findTask } from "../task/task.ts";
import { documentRender } from "./document-render.ts";
import { findTool, tools } from "./index.ts";
import { taskCreate } from "./task-create.ts";

const database = useDatabase();
useBlobs();

toolContract(tools, aCaller);

const { signal } = new AbortController();
const run = (caller: Caller, tool: typeof documentRender, params: unknown, id = newId()) =>
  executeTool(caller, tool, { id, params: tool.params.parse(params), runId: null, agentKey: null }, { signal });

async function render(
  caller: Caller,
  params: unknown,
  id = newId(),
): Promise<{ artifact: Artifact; text: string; result: unknown }> {
  const outcome = await run(caller, documentRender, params, id);
  if (!outcome.ok) throw new Error(outcome.error.message);
  const { artifactId } = outcome.result as { artifactId: string };
  const [artifact] = await findArtifacts(caller, [decodeId("Artifact", artifactId)]);
  const blob = await blobStore().find(artifact!.blobKey);
  return { artifact: artifact!, text: await readText(blob!), result: outcome.result };
}

describe("document.render", () => {
  it("keeps Markdown as it was written, as a file named by its title", async () => {
    const { artifact, text, result } = await render(aCaller(), {
      title: "Notice period",
      markdown: "# Notice\n\nOne **month**.",
    });
    expect(text).toBe("# Notice\n\nOne **month**.");
    expect(artifact).toMatchObject({ name: "Notice period.md", mediaType: "text/markdown" });
    expect(result).toMatchObject({ name: "Notice period.md", mediaType: "text/markdown", sizeBytes: text.length });
  });

  it("renders HTML with headings, tables and links", async () => {
    const markdown = "# Notice\n\n| who | how long |\n|---|---|\n| all | [month](https://example.com) |\n";
    const { artifact, text } = await render(aCaller(), { title: "Notice & <more>", markdown, format: "html" });
    expect(artifact).toMatchObject({ name: "Notice & more.html", mediaType: "text/html" });
    expect(text).toContain("<title>Notice &amp; &lt;more&gt;</title>");
    expect(text).toContain("<h1>Notice</h1>");
    expect(text).toContain("<td>all</td>");
    expect(text).toContain('<a href="https://example.com" rel="noopener noreferrer nofollow">month</a>');
  });

  it.each([
    ["a script", "<script>alert(1)</script>"],
    ["an event handler", '<p onclick="alert(1)">x</p>'],
    [
      "an image that calls home",
      '<img src="https://evil.example/x.png" onerror="alert(1)">![x](https://evil.example/y.png)',
    ],
    ["a frame", '<iframe src="https://evil.example"></iframe>'],
    ["a script behind a link", "[x](javascript:alert(1)) [y](data:text/html,<script>alert(1)</script>)"],
    ["a style", "<style>@import 'https://evil.example'</style><p style='background:url(https://evil.example)'>x</p>"],
    [
      "a base, a form and a refresh",
      '<base href="https://evil.example"><form action="https://evil.example"><meta http-equiv="refresh" content="0;url=https://evil.example">',
    ],
    ["an SVG", '<svg><script>alert(1)</script><animate onbegin="alert(1)"/></svg>'],
  ])("lets %s not through to HTML", async (_what, markdown) => {
    const { text } = await render(aCaller(), { title: "x", markdown, format: "html" });
    const body = text.slice(text.indexOf("<body>"));
    expect(body).not.toMatch(
      /<(?:script|img|iframe|style|base|form|meta|svg|animate)|\son\w+=|javascript:|data:text|(?:src|action|style|content)=/i,
    );
  });

  it("gives every title a file name that any system takes", async () => {
    const named = async (title: string) => (await render(aCaller(), { title, markdown: "x" })).artifact.name;
    expect(await named("../../etc/passwd")).toBe("etc passwd.md");
    expect(await named("a\nb\tc: d?")).toBe("a b c d.md");
    expect(await named("...")).toBe("document.md");
    expect(await named("日本語 \u202Egpj")).toBe("日本語 gpj.md");
    expect(await named("x".repeat(200))).toBe(`${"x".repeat(100)}.md`);
  });

  it("takes 200 KiB of UTF-8 and no byte more", () => {
    const accepts = (markdown: string) => documentRender.params.safeParse({ title: "x", markdown }).success;
    expect(accepts("x".repeat(200 * 1024))).toBe(true);
    expect(accepts(`${"x".repeat(200 * 1024 - 1)}é`)).toBe(false);
    expect(accepts("")).toBe(false);
  });

  it("writes one artifact for one call, however often it is repeated", async () => {
    const caller = aCaller();
    const id = newId();
    const [first, second] = [
      await render(caller, { title: "x", markdown: "y" }, id),
      await render(caller, { title: "x", markdown: "y" }, id),
    ];
    expect(second.artifact).toEqual(first.artifact);
  });
});

describe("task.create", () => {
  it("writes one task down for one call, however often it is repeated, and audits it once", async () => {
    const caller = aCaller();
    const id = newId();
    const params = { title: " Call Ada ", description: "About the lease.", dueAt: "2026-12-01T09:00:00+07:00" };
    const outcomes = [await run(caller, taskCreate, params, id), await run(caller, taskCreate, params, id)];
    expect(outcomes[1]).toMatchObject({ ok: true, result: { taskId: encodeId("Task", id) } });
    expect(await findTask(caller, id)).toMatchObject({
      title: "Call Ada",
      description: "About the lease.",
      dueAt: new Date("2026-12-01T02:00:00Z"),
      createdBy: caller.principalId,
    });
    const { rows } = await database().owner.query("SELECT action FROM platform.audit_entry WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ action: "agent.task.created" }]);
  });

  it("asks a person each time", () => {
    expect(taskCreate).toMatchObject({ approval: "ALWAYS", sideEffect: true, idempotent: true });
  });

  it("takes a point in time with its zone, and nothing like one", () => {
    const accepts = (dueAt: unknown) => taskCreate.params.safeParse({ title: "x", dueAt }).success;
    expect(accepts("2026-12-01T09:00:00Z")).toBe(true);
    for (const dueAt of ["2026-12-01", "2026-12-01T09:00:00", "tomorrow", 1, "2026-02-30T09:00:00Z"])
      expect(accepts(dueAt)).toBe(false);
  });
});

describe("the registry of tools", () => {
  it("finds a tool by its name and nothing else", () => {
    expect(findTool("task.create")).toBe(taskCreate);
    expect(findTool("toString")).toBeUndefined();
  });
});

describe("Query.tools", () => {
  const TOOLS =
    "query Tools { tools { name version description paramsSchema requires approval sideEffect idempotent timeoutMs definitionHash } }";

  it("shows every tool as it is called", async () => {
    const data = await expectData(schema, aCaller(), TOOLS);
    expect(data.tools.map(({ name }: { name: string }) => name)).toEqual([
      "knowledge.search",
      "document.render",
      "task.create",
      "memory.write",
      "memory.read",
      "agent.delegate",
      "webhook.send",
    ]);
    const {
      name,
      version,
      description,
      paramsSchema,
      requires,
      approval,
      sideEffect,
      idempotent,
      timeoutMs,
      definitionHash,
    } = taskCreate;
    expect(data.tools[2]).toEqual({
      name,
      version,
      description,
      paramsSchema,
      requires,
      approval,
      sideEffect,
      idempotent,
      timeoutMs,
      definitionHash,
    });
  });

  it("is for callers who may see agents", async () => {
    expect(await expectRefusal(schema, aColleagueOf(aCaller(), ["usage:read"]), TOOLS)).toMatchObject({
      code: "FORBIDDEN",
    });
    expect((await execute(schema, undefined, TOOLS)).errors).toHaveLength(1);
  });
});
