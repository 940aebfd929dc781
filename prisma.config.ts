import { defineConfig } from "prisma/config";
import { loadConfig } from "@sba/platform/config";

const config = loadConfig();

export default defineConfig({
  schema: "prisma/schema",
  migrations: { path: "prisma/migrations" },
  datasource: { url: config.DATABASE_ADMIN_URL ?? "postgres://unset:unset@127.0.0.1:1/unset" },
});
