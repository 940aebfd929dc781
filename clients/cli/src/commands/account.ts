import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import type { Command } from "commander";
import { createClient, MeDocument, SignInDocument } from "@sba/client";
import { CommandError, EXIT } from "../failure.ts";
import { note, say, sayJson } from "../output.ts";
import { forgetLogin, openClient, readLogin, writeLogin } from "../session.ts";
import { CLIENT, findTarget, type GlobalOptions } from "../settings.ts";

/** Signing in and out. */

interface LoginOptions extends GlobalOptions {
  readonly email?: string;
  readonly passwordStdin?: boolean;
}

export function addAccountCommands(program: Command): void {
  program
    .command("login")
    .description("sign in with e-mail and password; later commands act as you")
    .option("--email <email>", "asked for when it is not given")
    .option("--password-stdin", "read the password from standard input, for scripts")
    .action((_options: unknown, command: Command) => login(command.optsWithGlobals()));
  program
    .command("logout")
    .description("forget who is signed in")
    .action(async () => {
      note((await forgetLogin()) ? "Signed out." : "Nobody was signed in.");
    });
  program
    .command("whoami")
    .description("who the API takes you for, and what you may do")
    .option("--json", "one JSON object")
    .action((_options: unknown, command: Command) => whoAmI(command.optsWithGlobals()));
}

async function login(options: LoginOptions): Promise<void> {
  const { url } = findTarget(options, (await readLogin())?.url);
  if (options.email === undefined && !process.stdin.isTTY)
    throw new CommandError("Without a terminal, give --email and --password-stdin.", EXIT.usage);
  const email = options.email ?? (await ask("E-mail: "));
  const password = options.passwordStdin
    ? (await textOf(process.stdin)).replace(/\r?\n$/, "")
    : await ask("Password: ", { isSecret: true });
  const { signIn } = await createClient({ url, client: CLIENT }).mutate(SignInDocument, { email, password });
  await writeLogin({ url, ...signIn });
  note(`Signed in at ${url}.`);
}

async function ask(question: string, { isSecret = false } = {}): Promise<string> {
  if (!process.stdin.isTTY) throw new CommandError("There is no terminal to ask at.", EXIT.usage);
  process.stderr.write(question);
  const output = isSecret
    ? new Writable({
        write: (_chunk, _encoding, done) => {
          done();
        },
      })
    : process.stderr;
  const terminal = createInterface({ input: process.stdin, output, terminal: true });
  try {
    return await terminal.question("");
  } finally {
    terminal.close();
    if (isSecret) process.stderr.write("\n");
  }
}

async function whoAmI(options: GlobalOptions & { readonly json?: boolean }): Promise<void> {
  const client = await openClient(options);
  const { me } = await client.query(MeDocument);
  if (options.json) sayJson(me);
  else say(`${me.displayName} of ${me.tenant.name}\n${me.permissions.join("\n")}\n`);
}
