import { configureAgent, createBuiltInAgents } from "@sba/agent/index";
import { givenTenant } from "@sba/identity/testing";
import { addDocuments, createCollection, runIngestion } from "@sba/knowledge/index";
import { prepareDatabase } from "@sba/launcher/database";
import type { Cluster } from "@sba/launcher/postgres";
import type { Caller } from "@sba/platform/caller";
import { loadConfig } from "@sba/platform/config";
import { closeDatabase, connectDatabase, type DatabaseUrls } from "@sba/platform/db";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";
import { closeReaders } from "@sba/platform/reader";
import { useSecretKey } from "@sba/platform/secrets";
import { closing, withCluster } from "./cleanup.ts";

/** The domains in this process, on an embedded Postgres of their own: for what a whole system would blur. */

export interface OpenDatabase {
  readonly urls: DatabaseUrls & { readonly admin: string };
  /** Owner of a tenant with the built-in agents and one document. */
  readonly caller: Caller;
  /** Of the first of Postgres's processes. */
  readonly pid: number;
  /** For what processes keep beside the database; gone afterwards. */
  readonly folder: string;
}

export const SECRET_KEY = "the-secret-key-of-a-benchmark-only";

export function withDatabase<T>(
  redisUrl: string | undefined,
  work: (database: OpenDatabase) => Promise<T>,
  postgresSettings?: Readonly<Record<string, string>>,
): Promise<T> {
  return withCluster((cluster, folder) => openDomains({ cluster, folder, redisUrl }, work), postgresSettings);
}

export interface Place {
  readonly cluster: Cluster;
  readonly folder: string;
  readonly redisUrl: string | undefined;
}

/** The same on a Postgres that is there, for the time of `work`. */
export async function openDomains<T>(
  { cluster, folder, redisUrl }: Place,
  work: (database: OpenDatabase) => Promise<T>,
): Promise<T> {
  const admin = cluster.url("postgres");
  const config = loadConfig({ DATA_DIR: folder, SECRET_KEY, DATABASE_ADMIN_URL: admin });
  const urls = await prepareDatabase(config);
  connectDatabase({ ...urls, poolSize: 20 });
  useSecretKey(SECRET_KEY);
  const pubsub = await openPubSub({ databaseUrl: urls.app, redisUrl });
  usePubSub(pubsub);
  await configureAgent(config);
  const close = async (): Promise<void> => {
    usePubSub(undefined);
    await pubsub.close();
    closeReaders();
    await closeDatabase();
  };
  return closing(close, async () =>
    work({ urls: { ...urls, admin }, caller: await makeTenant(), pid: cluster.pid, folder }),
  );
}

async function makeTenant(): Promise<Caller> {
  // No quota of the plan ends what is measured.
  const { owner } = await givenTenant({ planKey: "enterprise" });
  await createBuiltInAgents(owner);
  const { id: collectionId } = await createCollection(owner, { name: "Bench" });
  const documents = [
    {
      title: "Wings",
      text: "A slender wing at high speed carries its lift near the leading edge. The boundary layer stays laminar.",
    },
  ];
  const ingestion = await addDocuments(owner, { collectionId, documents });
  await runIngestion(owner, { ingestionId: ingestion.id }, { signal: new AbortController().signal });
  return owner;
}
