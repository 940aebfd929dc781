import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";

/** In a child: where its processor time goes between two questions, starting up left out. */

const session = new Session();

export async function startCpuProfile(): Promise<void> {
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.start");
}

/** Writes what Chrome's DevTools open. */
export async function stopCpuProfile(path: string): Promise<void> {
  const { profile } = await session.post("Profiler.stop");
  session.disconnect();
  writeFileSync(path, JSON.stringify(profile));
}
