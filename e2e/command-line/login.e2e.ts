import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startSba, type Sba } from "./sba.ts";

/** Logins of the command-line client, before an issuer whose tokens end at once and whose refresh tokens are good once. */

interface Issuer {
  readonly url: string;
  refreshes: number;
  close(): Promise<void>;
}

async function startIssuer(): Promise<Issuer> {
  let serial = 0;
  let refreshToken = "";
  let accessToken = "";
  const issue = (lifetimeMs: number) => {
    serial++;
    [accessToken, refreshToken] = [`access-${serial}`, `refresh-${serial}`];
    return { accessToken, refreshToken, expiresAt: new Date(Date.now() + lifetimeMs).toISOString() };
  };
  const refused = {
    errors: [{ message: "No.", extensions: { code: "UNAUTHENTICATED", reason: "CREDENTIALS_INVALID" } }],
  };
  const answer = (query: string, variables: Record<string, string>, authorization: string | undefined): unknown => {
    if (query.includes("signIn"))
      return variables["password"] === "correct horse" ? { data: { signIn: issue(0) } } : refused;
    if (query.includes("refreshSession")) {
      issuer.refreshes++;
      return variables["refreshToken"] === refreshToken ? { data: { refreshSession: issue(3_600_000) } } : refused;
    }
    const me = { displayName: "Ada", tenant: { name: "Acme" }, permissions: ["run:read"] };
    return authorization === `Bearer ${accessToken}` ? { data: { me } } : refused;
  };
  const server: Server = createServer((request, response) => {
    void text(request).then((body) => {
      const { query, variables } = JSON.parse(body) as { query: string; variables: Record<string, string> };
      response.end(JSON.stringify(answer(query, variables, request.headers.authorization)));
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const issuer: Issuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`,
    refreshes: 0,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return issuer;
}

let issuer: Issuer;
let home: string;
beforeEach(async () => {
  issuer = await startIssuer();
  home = await mkdtemp(join(tmpdir(), "sba-home-"));
});
afterEach(async () => {
  await issuer.close();
  await rm(home, { recursive: true, force: true });
});

const start = (...args: string[]): Sba => startSba(args, { XDG_CONFIG_HOME: home });
const login = (password: string) => {
  const started = start("login", "--url", issuer.url, "--email", "ada@acme.example", "--password-stdin");
  started.child.stdin?.end(`${password}\n`);
  return started.ended;
};

describe("sba login", () => {
  it("keeps who signed in for the commands that follow, readable by nobody else", async () => {
    expect(await login("correct horse")).toMatchObject({ exitCode: 0, stdout: "" });
    const file = join(home, "sba/credentials.json");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, "utf8")).not.toContain("correct horse");
    // Both find the token ended: its refresh token is good for one of them, and the other waits for what that one gets.
    const outcomes = await Promise.all([start("whoami").ended, start("whoami", "--json").ended]);
    expect(outcomes).toMatchObject([
      { exitCode: 0, stdout: expect.stringContaining("Ada of Acme") },
      { exitCode: 0, stdout: expect.stringContaining('"displayName":"Ada"') },
    ]);
    expect(issuer.refreshes).toBe(1);
    expect((await start("logout").ended).exitCode).toBe(0);
    expect((await start("whoami", "--url", issuer.url).ended).exitCode).toBe(3);
  });

  it("is refused with a wrong password, and leaves nothing", async () => {
    expect(await login("incorrect")).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("CREDENTIALS_INVALID"),
    });
    await expect(stat(join(home, "sba/credentials.json"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("that is damaged says what to do", async () => {
    await login("correct horse");
    await writeFile(join(home, "sba/credentials.json"), "{");
    expect(await start("whoami").ended).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("sign in again"),
    });
  });
});
