import { RuleTester } from "eslint";
import { describe, it } from "vitest";
import { ownTables } from "./own-tables.ts";

RuleTester.describe = describe;
RuleTester.it = it;

const tester = new RuleTester({ languageOptions: { ecmaVersion: 2024, sourceType: "module" } });
const file = (domain: string): string => `${process.cwd()}/subgraphs/${domain}/src/noun/noun.ts`;
const foreign = (owner: string, schema: string) => ({ messageId: "foreign", data: { owner, schema } });

tester.run("own-tables", ownTables, {
  valid: [
    { filename: file("agent"), code: "tx.sql`SELECT * FROM agent.run r JOIN agent.step USING (run_id)`" },
    { filename: file("agent"), code: 'tx.sql`UPDATE "agent"."run" SET status = ${status} WHERE id = ${id}`' },
    { filename: file("agent"), code: "tx.sql`SELECT last_seq FROM platform.stream WHERE id = ${id}`" },
    { filename: file("agent"), code: "reader(caller).run.findMany({})" },
    { filename: file("agent"), code: "const db = reader(caller); db.agentVersion.findMany({})" },
    { filename: file("agent"), code: "reader(caller).event.findMany({})" },
    { filename: file("agent"), code: "other.usageRecord.findMany({})" },
    { filename: file("agent"), code: "log.sql`FROM nowhere.at_all`" },
    { filename: `${process.cwd()}/e2e/story/story.e2e.ts`, code: "tx.sql`SELECT * FROM billing.usage_record`" },
    {
      filename: `${process.cwd()}/packages/platform/src/audit.ts`,
      code: "tx.sql`INSERT INTO platform.audit_entry VALUES (1)`",
    },
  ],
  invalid: [
    {
      filename: file("agent"),
      code: "tx.sql`SELECT * FROM billing.usage_record`",
      errors: [foreign("agent", "billing")],
    },
    {
      filename: file("agent"),
      code: "tx.sql`SELECT * FROM agent.run JOIN billing.usage_record u ON true JOIN identity.user ON true`",
      errors: [foreign("agent", "billing"), foreign("agent", "identity")],
    },
    {
      filename: file("billing"),
      code: 'tx.sql`INSERT INTO "agent"."run" (id) VALUES (${id})`',
      errors: [foreign("billing", "agent")],
    },
    { filename: file("billing"), code: "tx.sql`delete from agent.run`", errors: [foreign("billing", "agent")] },
    {
      filename: file("billing"),
      code: "tx.sql`INSERT INTO platform.event VALUES (${id})`",
      errors: [foreign("billing", "platform")],
    },
    {
      filename: file("billing"),
      code: "tx.sql`DELETE FROM platform.outbox`",
      errors: [foreign("billing", "platform")],
    },
    { filename: file("billing"), code: "reader(caller).run.findMany({})", errors: [foreign("billing", "agent")] },
    {
      filename: file("billing"),
      code: "const db = reader(caller); async function f() { return db.run.findMany({}); }",
      errors: [foreign("billing", "agent")],
    },
    {
      filename: `${process.cwd()}/packages/platform/src/x.ts`,
      code: "tx.sql`SELECT 1 FROM agent.run`",
      errors: [foreign("platform", "agent")],
    },
  ],
});
