// First: what is traced must not be loaded before the tracing is.
import "./telemetry.ts";
import { loadConfig, type Config } from "./config.ts";
import { isDatabaseReady } from "./db.ts";
import { startProcess } from "./lifecycle.ts";
import { startSubgraphServer, type RunningServer, type Subgraph } from "./server.ts";
import { openServices } from "./services.ts";

/**
 * Runs one subgraph as a process of its own, for the split deployment. The end of a domain's `server.ts`:
 *
 *     if (import.meta.main) await runSubgraph(identitySubgraph);
 *
 * Never returns. `configure` runs once the services are open and before anything is served.
 */
export async function runSubgraph(
  subgraph: Subgraph,
  configure?: (config: Config) => Promise<void> | void,
): Promise<void> {
  const config = loadConfig();
  let server: RunningServer | undefined;
  await startProcess(
    `subgraph ${subgraph.name}`,
    [
      {
        name: "services",
        start: async () => {
          const services = await openServices({ name: `sba-${subgraph.name}`, config });
          return () => services.close();
        },
      },
      {
        name: "domain",
        start: async () => {
          await configure?.(config);
          return undefined;
        },
      },
      {
        name: "server",
        start: async () => {
          const running = await startSubgraphServer(subgraph, {
            host: config.HOST,
            port: config.PORT,
            isReady: isDatabaseReady,
          });
          server = running;
          return () => running.close();
        },
      },
    ],
    () => ({ url: server?.url }),
  );
}
