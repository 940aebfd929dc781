import { mkdtempSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCluster } from "@sba/launcher/postgres";
import { runPrisma } from "./prisma-cli.ts";

/** Fails when the Prisma schema says something that the migrations do not make, or the other way round. */
const directory = mkdtempSync(join(tmpdir(), "sba-drift-"));
chmodSync(directory, 0o711);
const cluster = await startCluster({
  directory: join(directory, "postgres"),
  password: "drift",
  settings: { fsync: "off" },
  diesWithParent: true,
});
try {
  const { exitCode, output } = await runPrisma(
    ["migrate", "diff", "--from-migrations", "prisma/migrations", "--to-schema", "prisma/schema", "--exit-code"],
    cluster.url("postgres"),
  );
  process.stdout.write(exitCode === 0 ? "The schema and the migrations agree.\n" : output);
  process.exitCode = exitCode;
} finally {
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
}
