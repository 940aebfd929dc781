import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The secret key of a data folder, made at the first start and kept with mode 0600. In production it comes from the
 * environment, which the configuration checks.
 */
export function keepSecretKey(dataFolder: string): string {
  const file = join(dataFolder, "secret-key");
  const draft = `${file}.${process.pid}`;
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  // Complete or not there at all: half a key would lock everyone out of what was sealed with the whole one.
  writeFileSync(draft, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
  linkSync(draft, file);
  rmSync(draft);
  return readFileSync(file, "utf8").trim();
}
