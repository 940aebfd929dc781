import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { realpathSync } from "node:fs";
import { Agent } from "node:http";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { freePort } from "@sba/launcher/postgres";
import { eventually } from "@sba/testkit/eventually";
import { closing, inFolder } from "../cleanup.ts";
import { post } from "../http.ts";
import { repeatFor, type Spell } from "../load.ts";
import { startChild, type Child } from "./child.ts";

/**
 * Restate as it comes: its server from npm, with its own settings but for addresses. It is fetched when it is measured and not with
 * the dependencies: 80 MB that nobody else needs, under the Business Source License (any use but offering it to others as a service).
 */

const SERVER = "@restatedev/restate-server@1.7.12";
/** Of the service and its handler, as restate-service.ts names them. */
const PATH = "run/threeSteps";
const READY_WITHIN_MS = 30_000;

export interface Restate {
  /** The server's and its service's. */
  readonly pids: { readonly server: number; readonly service: number };
  /** Runs of three steps, each answered when it has ended. */
  runs(durationMs: number, concurrency: number): Promise<Spell<void>>;
}

/** Runs `work` with it; without, when it cannot be had here, and says why. */
export async function withRestate<T>(work: (restate: Restate | undefined) => Promise<T>): Promise<T> {
  const binary = await fetchServer().catch((error: unknown) => {
    process.stderr.write(`Restate is not measured, ${SERVER} cannot be had: ${String(error)}\n`);
    return undefined;
  });
  if (binary === undefined) return work(undefined);
  return inFolder(async (folder) => {
    const ports = { ingress: await freePort(), admin: await freePort(), node: await freePort() };
    const server = startServer(binary, folder, ports);
    const stopServer = async (): Promise<void> => {
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill("SIGKILL");
      await once(server, "exit");
    };
    return closing(stopServer, async () => {
      const servicePort = await freePort();
      const service = await startChild("./restate-service.ts", {
        env: { RESTATE_SERVICE_PORT: String(servicePort), RESTATE_LOGGING: "ERROR" },
      });
      return closing(service.stop, async () => {
        const agent = new Agent({ keepAlive: true });
        await register(`http://127.0.0.1:${ports.admin}/deployments`, `http://127.0.0.1:${servicePort}`, agent);
        const result = await work(openLoad({ server: server.pid ?? 0, service }, ports.ingress, agent));
        agent.destroy();
        return result;
      });
    });
  });
}

/** The path of the server's binary, in npm's cache from the second time on. Scripts are not run: one would report the installation to others. */
async function fetchServer(): Promise<string> {
  const flags = ["--yes", "--ignore-scripts", "--package", SERVER, "-c", "command -v restate-server"];
  const { stdout } = await promisify(execFile)("npx", flags);
  const { resolve } = createRequire(realpathSync(stdout.trim()));
  return resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
}

interface Ports {
  readonly ingress: number;
  readonly admin: number;
  readonly node: number;
}

function startServer(binary: string, folder: string, { ingress, admin, node }: Ports) {
  const at = (port: number): string => `127.0.0.1:${port}`;
  return spawn(binary, ["--base-dir", folder, "--no-logo"], {
    env: {
      ...process.env,
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_BIND_ADDRESS: at(node),
      RESTATE_ADVERTISED_ADDRESS: `http://${at(node)}`,
      RESTATE_INGRESS__BIND_ADDRESS: at(ingress),
      RESTATE_ADMIN__BIND_ADDRESS: at(admin),
      RESTATE_DISABLE_TELEMETRY: "true",
      RESTATE_LOG_FILTER: "error",
    },
    stdio: "ignore",
  });
}

/** Tells the server of the service, once it listens. */
function register(url: string, uri: string, agent: Agent): Promise<unknown> {
  const attempt = async (): Promise<boolean> => {
    const { status, body } = await post({ url, body: JSON.stringify({ uri }), agent });
    if (status >= 300) throw new Error(`Restate answered ${status}: ${body}`);
    return true;
  };
  return eventually(attempt, { timeoutMs: READY_WITHIN_MS });
}

function openLoad(
  processes: { readonly server: number; readonly service: Child },
  port: number,
  agent: Agent,
): Restate {
  const url = `http://127.0.0.1:${port}/${PATH}`;
  const runOnce = async (): Promise<void> => {
    const { status, body } = await post({ url, body: '"look it up"', agent });
    if (status !== 200 || body !== '"done"') throw new Error(`Restate answered ${status}: ${body}`);
  };
  return {
    pids: { server: processes.server, service: processes.service.pid },
    runs: (durationMs, concurrency) => repeatFor(durationMs, concurrency, runOnce),
  };
}
