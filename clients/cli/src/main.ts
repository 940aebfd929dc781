#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { addAccountCommands } from "./commands/account.ts";
import { addApprovalCommands } from "./commands/approvals.ts";
import { addRunCommands } from "./commands/run.ts";
import { addUsageCommand } from "./commands/usage.ts";
import { EXIT, explain } from "./failure.ts";
import { note } from "./output.ts";
import { ROLES } from "./settings.ts";

/** `sba`: what people and scripts do from a terminal. */

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in, 4 refused or not there, 5 it has changed,
6 the API is away, 8 the run waits for you, 130 interrupted or cancelled.`;

const program = new Command("sba")
  .description("Runs, approvals and usage of SBA Agentic.")
  .option("--url <url>", "the API, https://host/graphql (SBA_URL)")
  .option(
    "--token <token>",
    "an access token or API key (SBA_TOKEN); better by the environment, which others do not see",
  )
  .option("--ready-file <path>", "ready.json of a system in development, with its tokens")
  .option("--as <role>", `in development, as ${ROLES.join(", ")}`)
  .addHelpText("after", EXIT_CODES)
  .showHelpAfterError("(--help says more)")
  .exitOverride();
addAccountCommands(program);
addRunCommands(program);
addApprovalCommands(program);
addUsageCommand(program);

// Whoever reads it has heard enough: `sba runs | head -1`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.done);
  throw error;
});
try {
  await program.parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
  else {
    const { message, exitCode } = explain(thrown);
    note(`sba: ${message}`);
    process.exitCode = exitCode;
  }
}
