import { workerData } from "node:worker_threads";
import { listen, openTestTab } from "./tab.testing.ts";

/** A tab in a thread of its own, which a test kills: it listens to a story, and so leads. */

const { name, url } = workerData as { readonly name: string; readonly url: string };
await listen(openTestTab(name, url)).done;
