import type { Caller } from "@sba/platform/caller";
import { encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { schema } from "../schema.ts";
import { createTask, findTask } from "./task.ts";

useDatabase();

const TASKS = /* GraphQL */ `
  query ($first: Int, $after: String) {
    tasks(first: $first, after: $after) {
      edges {
        cursor
        node {
          id
          title
          description
          dueAt
          createdAt
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;

async function aTask(caller: Caller, title: string): Promise<string> {
  const id = newId();
  await createTask(caller, { id, title });
  return id;
}

describe("Query.tasks", () => {
  it("pages through the tenant's tasks, newest first, each once", async () => {
    const caller = aCaller();
    for (const title of ["first", "second", "third"]) await aTask(caller, title);
    const page = async (after?: string) =>
      (await expectData(schema, caller, TASKS, { first: 2, after: after ?? null })).tasks;
    const first = await page();
    expect(first.edges.map(({ node }: { node: { title: string } }) => node.title)).toEqual(["third", "second"]);
    const second = await page(first.pageInfo.endCursor as string);
    expect(second).toMatchObject({
      edges: [{ node: { title: "first", description: null, dueAt: null } }],
      pageInfo: { hasNextPage: false },
    });
  });

  it("shows nothing of another tenant", async () => {
    const caller = aCaller();
    const id = await aTask(caller, "mine");
    expect((await expectData(schema, aCaller(), TASKS)).tasks.edges).toEqual([]);
    expect(await findTask(aCaller(), id)).toBeUndefined();
    expect(await findTask(aColleagueOf(caller), id)).toMatchObject({ title: "mine" });
  });

  it("refuses a page of more than 100, a cursor of another list and a caller without task:read", async () => {
    expect(await expectRefusal(schema, aCaller(), TASKS, { first: 101 })).toMatchObject({ code: "BAD_USER_INPUT" });
    expect(await expectRefusal(schema, aCaller(), TASKS, { after: "nonsense" })).toMatchObject({
      reason: "CURSOR_INVALID",
    });
    expect(await expectRefusal(schema, aColleagueOf(aCaller(), ["run:read"]), TASKS)).toMatchObject({
      code: "FORBIDDEN",
    });
  });
});

describe("Task as an entity", () => {
  const entity = (id: string): string =>
    `{ _entities(representations: [{ __typename: "Task", id: "${id}" }]) { ... on Task { id title } } }`;

  it("is found by its id in its own tenant only", async () => {
    const caller = aCaller();
    const id = encodeId("Task", await aTask(caller, "found"));
    const source = entity(id);
    expect((await expectData(schema, caller, source))._entities).toEqual([{ id, title: "found" }]);
    expect((await execute(schema, aCaller(), source)).errors).toMatchObject([
      { extensions: { reason: "AGENT_TASK_NOT_FOUND" } },
    ]);
    expect((await execute(schema, aColleagueOf(caller, ["run:read"]), source)).errors).toMatchObject([
      { extensions: { reason: "PERMISSION_MISSING" } },
    ]);
  });
});
