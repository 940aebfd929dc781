import type { Config } from "./config.ts";
import { ConfigError } from "./config.ts";
import { closeDatabase, connectDatabase, type DatabaseUrls } from "./db.ts";
import { egressPolicyOf, openEgress } from "./egress.ts";
import { setLogLevel } from "./log.ts";
import { startRelay } from "./outbox.ts";
import { usePublicUrl } from "./public-url.ts";
import { openPubSub, usePubSub } from "./pubsub.ts";
import { openQueue, type Queue } from "./queue.ts";
import { closeReaders } from "./reader.ts";
import { provisionRoles, requireSafeRole } from "./roles.ts";
import { useSecretKey } from "./secrets.ts";
import { startTelemetry } from "./telemetry.ts";

/** What every process that runs domain code opens, in this order, and closes in reverse: the server, a subgraph, the worker. */
export interface Services {
  readonly queue: Queue;
  /** Ends what was opened, after the work in hand. */
  close(): Promise<void>;
}

export interface ServicesOptions {
  /** The process, in traces: `sba-server`, `sba-worker`. */
  readonly name: string;
  readonly config: Config;
}

/**
 * Opens telemetry, secrets, egress, database, pub/sub, queue and outbox relay.
 * @throws ConfigError, UnsafeRoleError, DATABASE_UNAVAILABLE, SUBGRAPH_UNAVAILABLE; what was opened before is closed again.
 */
export async function openServices({ name, config }: ServicesOptions): Promise<Services> {
  const closing: (() => Promise<unknown> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closing.splice(0).toReversed()) await end();
  };
  try {
    setLogLevel(config.LOG_LEVEL);
    usePublicUrl(config.PUBLIC_URL);
    useSecretKey([secretKeyOf(config), ...config.SECRET_KEY_PREVIOUS]);
    closing.push(
      startTelemetry({
        serviceName: config.OTEL_SERVICE_NAME ?? name,
        otlpEndpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
      }),
    );
    closing.push(openEgress(egressPolicyOf(config)));
    const urls = await databaseUrlsOf(config);
    await requireSafeRole(urls.app);
    connectDatabase({ ...urls, poolSize: config.DATABASE_POOL_SIZE });
    closing.push(async () => {
      closeReaders();
      await closeDatabase();
    });
    const pubsub = await openPubSub({ databaseUrl: urls.app, redisUrl: config.REDIS_URL });
    usePubSub(pubsub);
    closing.push(async () => {
      usePubSub(undefined);
      await pubsub.close();
    });
    const queue = await openQueue({ systemUrl: urls.system, redisUrl: config.REDIS_URL });
    closing.push(() => queue.close());
    const relay = startRelay(queue);
    closing.push(() => relay.close());
    return { queue, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The configured secret key. @throws ConfigError when there is none. */
export function secretKeyOf({ SECRET_KEY }: Config): string {
  if (SECRET_KEY === undefined)
    throw new ConfigError([
      "SECRET_KEY: is required; npm start makes one in DATA_DIR, every other process is given it",
    ]);
  return SECRET_KEY;
}

/** The two roles' URLs: as configured, or derived from the owner's, whose roles are made when they are missing. */
export async function databaseUrlsOf(config: Config): Promise<DatabaseUrls> {
  const { DATABASE_URL: app, DATABASE_SYSTEM_URL: system, DATABASE_ADMIN_URL: admin } = config;
  if (app !== undefined && system !== undefined) return { app, system };
  if (admin === undefined)
    throw new ConfigError(["DATABASE_URL and DATABASE_SYSTEM_URL, or DATABASE_ADMIN_URL: are required"]);
  const derived = await provisionRoles(admin, secretKeyOf(config));
  return { app: app ?? derived.app, system: system ?? derived.system };
}
