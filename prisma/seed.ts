import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createBuiltInAgents } from "@sba/agent/index";
import {
  addMember,
  createApiKey,
  createUser,
  issueAccessToken,
  provisionTenant,
  verifyApiKey,
} from "@sba/identity/index";
import { addDocuments, createCollection, getIngestion, type DocumentInput } from "@sba/knowledge/index";
import { tellSupervisor, type DemoTenant } from "@sba/launcher/messages";
import type { Caller } from "@sba/platform/caller";
import { loadConfig } from "@sba/platform/config";
import { AppError } from "@sba/platform/errors";
import { encodeId } from "@sba/platform/ids";
import { deriveKey } from "@sba/platform/secrets";
import { openServices } from "@sba/platform/services";
import { createBuiltInWorkflows } from "@sba/workflow/index";
import { z } from "zod";

/**
 * Two demo tenants, each with an owner, an operator, a viewer, a partner's API key and the sample collection. A repeat
 * makes what is missing and leaves the rest, so that a start that was cut off is resumed by the next. Needs a worker.
 */

const TENANTS = [
  { id: "0197a000-0000-7000-8000-000000000001", name: "Acme Aerospace", domain: "acme.example" },
  { id: "0197a000-0000-7000-8000-000000000002", name: "Globex Research", domain: "globex.example" },
] as const;
type Tenant = (typeof TENANTS)[number];

/** Without limits: whoever tries the system out is not stopped by a quota. */
const PLAN_KEY = "enterprise";

const COLLECTION_NAME = "Cranfield abstracts";
const BATCH_SIZE = 100;
const LOOK_AGAIN_MS = 500;
const DAY_S = 24 * 60 * 60;

const abstractSchema = z.object({ _id: z.string(), title: z.string(), text: z.string() });

const config = loadConfig();

interface Provisioned {
  readonly tenant: Tenant;
  readonly owner: Caller;
}

async function provision(tenant: Tenant): Promise<Provisioned> {
  const owner = { email: emailOf("owner", tenant), displayName: "Olivia Owner", password: password() };
  const { caller } = await provisionTenant({ id: tenant.id, name: tenant.name, owner, planKey: PLAN_KEY });
  // Reactions to the new tenant do the same; by then somebody may already have asked for an agent.
  await createBuiltInAgents(caller);
  await createBuiltInWorkflows(caller);
  return { tenant, owner: caller };
}

function emailOf(role: string, { domain }: Tenant): string {
  return `${role}@${domain}`;
}

/** One password for all demo users, of this installation only: a fixed one would open every installation. */
function password(): string {
  return deriveKey("demo users", 12).toString("base64url");
}

async function credentialsOf(tenant: Tenant, owner: Caller): Promise<DemoTenant> {
  const [operatorId, viewerId] = await Promise.all([
    member(owner, tenant, "operator", "Otto Operator"),
    member(owner, tenant, "viewer", "Vera Viewer"),
  ]);
  const token = async (principalId: string): Promise<string> =>
    (await issueAccessToken({ tenantId: tenant.id, principalId, lifetimeSeconds: DAY_S })).accessToken;
  const [ownerToken, operator, viewer] = await Promise.all([
    token(owner.principalId),
    token(operatorId),
    token(viewerId),
  ]);
  return {
    id: encodeId("Tenant", tenant.id),
    name: tenant.name,
    tokens: { owner: ownerToken, operator, viewer, partner: await partnerKey(owner) },
    people: {
      owner: emailOf("owner", tenant),
      operator: emailOf("operator", tenant),
      viewer: emailOf("viewer", tenant),
      password: password(),
    },
  };
}

async function member(
  owner: Caller,
  tenant: Tenant,
  role: "operator" | "viewer",
  displayName: string,
): Promise<string> {
  const { id } = await createUser({ email: emailOf(role, tenant), displayName, password: password() });
  await addMember(owner, { userId: id, roles: [role] }).catch((error: unknown) => {
    // Somebody has given them other roles: theirs they stay.
    if (!(error instanceof AppError && error.code === "IDENTITY_MEMBER_EXISTS")) throw error;
  });
  return id;
}

/** A key is shown once, when it is made: it is kept in the data folder, where ready.json will repeat it. */
async function partnerKey(owner: Caller): Promise<string> {
  const file = join(config.DATA_DIR, "demo-partner-keys.json");
  const kept = readKeys(file);
  const known = kept[owner.tenantId];
  if (known !== undefined && (await verifyApiKey(known))?.tenantId === owner.tenantId) return known;
  const { key } = await createApiKey(owner, { name: "Demo partner", roles: ["partner"] });
  // Read again: the other tenant's key may have been written meanwhile.
  const draft = `${file}.${owner.tenantId}`;
  writeFileSync(draft, JSON.stringify({ ...readKeys(file), [owner.tenantId]: key }), { mode: 0o600 });
  renameSync(draft, file);
  return key;
}

function readKeys(file: string): Record<string, string> {
  try {
    return z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}

/** The Cranfield abstracts; two of them have neither title nor text. */
function readAbstracts(): DocumentInput[] {
  const lines = readFileSync(join(import.meta.dirname, "data/cranfield/corpus.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => {
    const { _id, title, text } = abstractSchema.parse(JSON.parse(line));
    return { externalId: _id, title: title.trim() || `Abstract ${_id}`, text };
  });
}

interface Submitted {
  readonly owner: Caller;
  readonly ingestionId: string;
  /** How many it has. */
  readonly documents: number;
}

async function fillCollections(owners: readonly Caller[]): Promise<void> {
  const documents = readAbstracts();
  const submitted = (await Promise.all(owners.map((owner) => submit(owner, documents)))).flat();
  const total = documents.length * owners.length;
  let done = 0;
  for (let waiting = submitted; ; await delay(LOOK_AGAIN_MS)) {
    const counts = await Promise.all(waiting.map(countReady));
    const ready = counts.reduce((sum, count) => sum + count, done);
    // What is ready stays so: to ask for all of them each time was half of what this process did.
    waiting = waiting.filter(({ documents }, index) => counts[index]! < documents);
    done = total - waiting.reduce((sum, { documents }) => sum + documents, 0);
    if (waiting.length === 0) return;
    tellSupervisor({ type: "progress", done: ready, total });
  }
}

async function countReady({ owner, ingestionId }: Submitted): Promise<number> {
  const { status, documentsReady, documentsFailed } = await getIngestion(owner, ingestionId);
  if (status === "FAILED" || documentsFailed > 0)
    throw new Error(`${documentsFailed} sample documents of ingestion ${ingestionId} failed`);
  return documentsReady;
}

/** Adding the same documents with the same keys gives the same ingestions, finished or not. */
async function submit(owner: Caller, documents: readonly DocumentInput[]): Promise<Submitted[]> {
  const { id: collectionId } = await createCollection(owner, {
    name: COLLECTION_NAME,
    idempotencyKey: "demo-cranfield",
  });
  const submitted: Submitted[] = [];
  for (let at = 0; at < documents.length; at += BATCH_SIZE) {
    const batch = documents.slice(at, at + BATCH_SIZE);
    const version = createHash("sha256").update(JSON.stringify(batch)).digest("hex").slice(0, 16);
    const { id: ingestionId } = await addDocuments(owner, {
      collectionId,
      documents: batch,
      idempotencyKey: `demo-cranfield-${at}-${version}`,
    });
    submitted.push({ owner, ingestionId, documents: batch.length });
  }
  return submitted;
}

const services = await openServices({ name: "sba-seed", config });
try {
  const provisioned = await Promise.all(TENANTS.map(provision));
  const tenants = await Promise.all(provisioned.map(({ tenant, owner }) => credentialsOf(tenant, owner)));
  await fillCollections(provisioned.map(({ owner }) => owner));
  tellSupervisor({ type: "seeded", tenants });
} finally {
  await services.close();
}
// What was told is on its way by now; the channel would keep this process.
process.disconnect?.();
