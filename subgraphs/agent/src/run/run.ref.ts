import { defineLoader } from "@sba/platform/graphql";
import { builder } from "../builder.ts";
import type { Run } from "./read.ts";
import { findRuns } from "./run.ts";

/** The run as other nouns refer to it; `run.graphql.ts` says what it shows. */
export const RunRef = builder.objectRef<Run>("Run");
export const runById = defineLoader(findRuns, (run) => run.id);
