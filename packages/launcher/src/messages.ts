import { z } from "zod";

/** What the processes of the system tell their supervisor. */

/** Where the server listens, told once it answers. Keys of what does not exist are null. */
export const serverAddressesSchema = z.object({
  graphqlUrl: z.string(),
  subscriptionsUrl: z.string(),
  sseUrl: z.string().nullable(),
  consoleUrl: z.string().nullable(),
  metricsUrl: z.string().nullable(),
});
export type ServerAddresses = z.infer<typeof serverAddressesSchema>;

/** From `migrate.ts`: with which roles the database may be served, or why not. */
export const migrationMessageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("migrated"), urls: z.object({ app: z.string(), system: z.string() }) }),
  z.object({ type: z.literal("refused"), reason: z.string() }),
]);
export type MigrationMessage = z.infer<typeof migrationMessageSchema>;

const tokensSchema = z.object({ owner: z.string(), operator: z.string(), viewer: z.string(), partner: z.string() });

/** People of the tenant, by what they may do there: they sign in to the console by e-mail address and password. */
const peopleSchema = z.object({
  owner: z.string(),
  operator: z.string(),
  viewer: z.string(),
  password: z.string(),
});

/** A tenant to try the system with. */
export const demoTenantSchema = z.object({
  /** Public id. */
  id: z.string(),
  name: z.string(),
  tokens: tokensSchema,
  people: peopleSchema,
});
export type DemoTenant = z.infer<typeof demoTenantSchema>;

/** From `prisma/seed.ts`: how far it is, and in the end what it made. */
export const seedMessageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("progress"), done: z.number(), total: z.number() }),
  z.object({ type: z.literal("seeded"), tenants: z.array(demoTenantSchema) }),
]);
export type SeedMessage = z.infer<typeof seedMessageSchema>;

/** Tells the supervisor; does nothing in a process that was started by hand. */
export function tellSupervisor(message: SeedMessage | MigrationMessage): void {
  process.send?.(message);
}
