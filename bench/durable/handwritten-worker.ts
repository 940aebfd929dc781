import pg from "pg";
import { serveParent } from "./child.ts";
import { beginHanded } from "./handed.ts";

/** The worker of what is written by hand: begins a run's first step, in one commit. */

const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"], max: 16 });
const BEGIN = { name: "begin", text: "INSERT INTO handwritten.step VALUES ($1, 1, 'plan', '{}')" };

await beginHanded(async (id) => {
  await pool.query({ ...BEGIN, values: [id] });
});
serveParent({});
