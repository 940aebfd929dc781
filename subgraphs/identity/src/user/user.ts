import { z } from "zod";
import type { User } from "@sba/platform/generated/prisma/client";
import { withTenant, type Tx } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { NO_TENANT } from "../anonymous.ts";
import { errors } from "../errors.ts";
import { hashPassword } from "./password.ts";

export const MIN_PASSWORD_LENGTH = 10;
export const MAX_PASSWORD_LENGTH = 512;

const userSchema = z.object({
  email: z.email().max(320),
  displayName: z.string().trim().min(1).max(200),
  password: z.string().min(MIN_PASSWORD_LENGTH).max(MAX_PASSWORD_LENGTH),
});

export type UserInput = z.input<typeof userSchema>;

/** A person, to be stored if they are new; made outside transactions, since hashing a password takes a tenth of a second. */
export type UserDraft = Pick<User, "email" | "displayName" | "passwordHash">;

/** E-mail addresses are compared without regard to case, as every mail provider does. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}

/** @throws IDENTITY_USER_INVALID naming what is wrong; the password is never repeated. */
export async function draftUser(input: UserInput): Promise<UserDraft> {
  const parsed = userSchema.safeParse({ ...input, email: normalizeEmail(input.email) });
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    throw errors.IDENTITY_USER_INVALID({ message: issues.join("; "), details: { issues } });
  }
  const { email, displayName, password } = parsed.data;
  // Who is known keeps their password: hashing another one would be for nothing.
  const known = await findUserByEmail(email);
  return { email, displayName, passwordHash: known ? null : await hashPassword(password) };
}

/** The id of the user with this address, who stays as they are; the draft is stored when there is none. */
export async function ensureUser(tx: Tx, { email, displayName, passwordHash }: UserDraft): Promise<string> {
  const [created] = await tx.sql<{ id: string }>`
    INSERT INTO identity.user (id, email, display_name, password_hash, tenant_ids)
    VALUES (${newId()}, ${email}, ${displayName}, ${passwordHash}, '{}') ON CONFLICT (email) DO NOTHING RETURNING id`;
  if (created) return created.id;
  const [existing] = await tx.sql<{ id: string }>`SELECT id FROM identity.user WHERE email = ${email}`;
  return existing!.id;
}

/**
 * Creates a user and returns their UUID. A person has one user, by e-mail address: for a known address that user is
 * returned, unchanged. Users see nothing before they are added to a tenant.
 * @throws IDENTITY_USER_INVALID
 */
export async function createUser(input: UserInput): Promise<{ readonly id: string }> {
  const draft = await draftUser(input);
  return { id: await withTenant(NO_TENANT, (tx) => ensureUser(tx, draft)) };
}

/** The user with this address, in whatever tenants. For signing in only. */
export function findUserByEmail(email: string): Promise<User | null> {
  return reader(NO_TENANT).user.findUnique({ where: { email: normalizeEmail(email) } });
}
