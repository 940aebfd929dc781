import { RunDocument, RunsDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { eventually, pendingApproval, useSystem } from "../story.ts";
import { sba, startSba } from "./sba.ts";

const story = useSystem();

const as = async (role: "owner" | "operator" | "viewer" | "partner") => {
  const { graphqlUrl, tenants } = await story().ready();
  return { SBA_URL: graphqlUrl, SBA_TOKEN: tenants[0]?.tokens[role] ?? "" };
};
const aTask = (what: string) => ({ agentKey: "assistant", prompt: `Create a task to ${what}` });
const lines = (text: string) => text.trim().split("\n");

describe("sba run", () => {
  it("writes the answer to stdout as it comes, and citations, artifact and cost to stderr", async () => {
    const { exitCode, stdout, stderr } = await sba(["run", QUESTION], await as("operator"));
    expect(stderr).toContain("COMPLETED");
    expect(exitCode).toBe(0);
    const client = story().client("operator");
    const { run } = await client.query(RunDocument, { id: lines(stderr)[0] ?? "" });
    expect(run).toMatchObject({ status: "COMPLETED", prompt: QUESTION });
    expect(stdout.trim()).toContain(run.output?.trim());
    expect(stderr).toContain("[1] ");
    expect(stderr).toContain(`↓ ${run.artifacts[0]?.name ?? "no artifact"}`);
    expect(stderr).toMatch(/\d+\.\d{6} [A-Z]{3}/);
  });

  it("writes every event and then the run for scripts", async () => {
    const { exitCode, stdout } = await sba(["run", "--json", QUESTION], await as("operator"));
    expect(exitCode).toBe(0);
    const events = lines(stdout).map((line) => JSON.parse(line) as { __typename: string; seq: number });
    const run = events.pop();
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)?.__typename).toBe("RunFinished");
    expect(run).toMatchObject({ __typename: "Run", status: "COMPLETED" });
  });

  it("cancels the run at Ctrl-C, and says so", async () => {
    const { child, stderr, ended } = startSba(
      ["run", "--agent", "assistant", aTask("wait for ever").prompt],
      await as("operator"),
    );
    await eventually(() => stderr().includes("sba approve"), { timeoutMs: 60_000 });
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ exitCode: 130, stderr: expect.stringContaining("The run was cancelled.") });
    const { run } = await story()
      .client("operator")
      .query(RunDocument, { id: lines(stderr())[0] ?? "" });
    expect(run.status).toBe("CANCELLED");
  });
});

describe("sba approvals", () => {
  it("lists what waits, and approves and denies it with a reason", async () => {
    const operator = story().client("operator");
    const started = await Promise.all(
      ["order a fan", "order a pump"].map((what) => operator.mutate(StartRunDocument, aTask(what))),
    );
    const [fan, pump] = await Promise.all(started.map(({ startRun }) => pendingApproval(operator, startRun.id)));
    const owner = await as("owner");
    const listed = await sba(["approvals", "--json"], owner);
    const ids = (JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([fan?.id, pump?.id]));
    expect(await sba(["approve", fan?.id ?? ""], owner)).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining("is APPROVED."),
    });
    expect(await sba(["deny", pump?.id ?? "", "--reason", "too dear", "--json"], owner)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('"status":"DENIED"'),
    });
    // Decided is decided.
    expect((await sba(["approve", pump?.id ?? ""], owner)).exitCode).toBe(5);
    // Another tenant's is not there.
    const stranger = { ...owner, SBA_TOKEN: (await story().ready()).tenants[1]?.tokens.owner ?? "" };
    expect((await sba(["approve", pump?.id ?? ""], stranger)).exitCode).toBe(4);
    const watched = await sba(["watch", started[1]?.startRun.id ?? ""], await as("operator"));
    expect(watched).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("task.create denied") });
  });
});

describe("sba usage", () => {
  it("writes what the API says, for a spreadsheet, with a partner's key", async () => {
    const from = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const to = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
    const args = ["usage", "--from", from, "--to", to, "--by", "agent"];
    const { exitCode, stdout } = await sba([...args, "--csv"], await as("partner"));
    expect(exitCode).toBe(0);
    const [head, ...rows] = stdout.trim().split("\r\n");
    expect(head).toBe("periodStart,periodEnd,agent,meter,quantity,cost,currency");
    expect(rows.some((row) => /,handbook,[^,]+,\d+,\d+\.\d{6},[A-Z]{3}$/.test(row))).toBe(true);
    const json = JSON.parse((await sba([...args, "--json"], await as("partner"))).stdout) as { rows: unknown[] };
    expect(json.rows).toHaveLength(rows.length);
  });
});

describe("sba", () => {
  it("lists runs as the API does", async () => {
    const { runs } = await story().client("viewer").query(RunsDocument, { first: 3 });
    const { stdout } = await sba(["runs", "--limit", "3", "--json"], await as("viewer"));
    expect(JSON.parse(stdout)).toHaveLength(runs.edges.length);
  });

  it("says by its exit code what went wrong, and by its message what to do", async () => {
    const viewer = await as("viewer");
    const outcomes = await Promise.all([
      sba(["runs"], { ...viewer, SBA_TOKEN: "nonsense" }),
      sba(["run", "why"], viewer),
      sba(["runs"], { SBA_URL: "http://127.0.0.1:9/graphql", SBA_TOKEN: "x" }),
      sba(["usage", "--from", "yesterday"], viewer),
      sba(["deny", "apr_1"], viewer),
      sba(["runs"], {}),
    ]);
    expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([3, 4, 6, 2, 2, 3]);
    expect(outcomes[0]?.stderr).toContain("sba login");
    expect(outcomes.map(({ stderr }) => stderr).join("\n")).not.toMatch(/\n\s+at /);
  });

  it("explains every command", async () => {
    const { stdout } = await sba(["--help"]);
    const commands = [...stdout.matchAll(/^ {2}(\w+) .*\S$/gm)]
      .map(([, name]) => name ?? "")
      .filter((name) => name !== "help");
    expect(commands).toEqual(expect.arrayContaining(["run", "approvals", "approve", "deny", "usage", "runs", "login"]));
    const helped = await Promise.all(["run", "usage"].map((command) => sba([command, "--help"])));
    for (const help of helped)
      expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Usage: sba ") });
  });
});
