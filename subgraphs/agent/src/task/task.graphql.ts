import { requirePermission } from "@sba/platform/caller";
import {
  callerOf,
  defineLoader,
  idCursor,
  pageInfoRef,
  toConnection,
  type ConnectionShape,
  type EdgeShape,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { RunRef, runById } from "../run/run.ref.ts";
import { taskErrors } from "./errors.ts";
import { findTasks, listTasks, type Task } from "./task.ts";

const taskById = defineLoader(findTasks, (task) => task.id);

const TaskRef = builder.objectRef<Task>("Task");

builder.asEntity(TaskRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: async ({ id }, context) => {
    requirePermission(callerOf(context), "task:read");
    const task = await taskById(context).load(decodeId("Task", id));
    if (!task) throw taskErrors.AGENT_TASK_NOT_FOUND();
    return task;
  },
});

TaskRef.implement({
  description: "Something for a person to do, written down by a run.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Task", id) }),
    title: t.exposeString("title"),
    description: t.exposeString("description", { nullable: true }),
    dueAt: t.field({ type: "DateTime", nullable: true, resolve: ({ dueAt }) => dueAt }),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
    run: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that wrote it down.",
      authScopes: { permission: "run:read" },
      resolve: ({ runId }, _args, context) => (runId === null ? null : runById(context).load(runId)),
    }),
  }),
});

const TaskEdge = builder.objectRef<EdgeShape<Task>>("TaskEdge").implement({
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: ({ cursor }) => cursor }),
    node: t.field({ type: TaskRef, resolve: ({ node }) => node }),
  }),
});

const TaskConnection = builder.objectRef<ConnectionShape<Task>>("TaskConnection").implement({
  fields: (t) => ({
    edges: t.field({ type: [TaskEdge], resolve: ({ edges }) => [...edges] }),
    pageInfo: t.field({ type: pageInfoRef(builder), resolve: ({ pageInfo }) => pageInfo }),
  }),
});

builder.queryField("tasks", (t) =>
  t.field({
    type: TaskConnection,
    description: "The tenant's tasks, newest first.",
    authScopes: { permission: "task:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { first, after }, context) =>
      toConnection(await listTasks(callerOf(context), { first, after }), { after, cursorOf: idCursor }),
  }),
);
