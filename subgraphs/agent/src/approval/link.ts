import type { Caller } from "@sba/platform/caller";
import { AppError } from "@sba/platform/errors";
import { isUuid } from "@sba/platform/ids";
import { secretErrors, signLink, verifyLink } from "@sba/platform/secrets";
import { z } from "zod";
import { toPublicUrl } from "@sba/platform/public-url";

/**
 * Links by which one approver decides one approval without signing in. A link says who and what, never what they may do: that
 * is looked up when it is used. A form says in addition what its page showed: what is decided is what was read.
 */

const LINK = "approval";
const FORM = "approval form";

export const MAX_LINK_SECONDS = 24 * 60 * 60;

const uuid = z.string().refine(isUuid);
const linkPayload = z.object({ tenantId: uuid, approvalId: uuid, principalId: uuid });
const formPayload = linkPayload.extend({ fingerprint: z.string(), version: z.number().int() });

export type LinkPayload = z.infer<typeof linkPayload>;
export type FormPayload = z.infer<typeof formPayload>;

/** A link for the caller themselves, to hand on to where they are reached. `expiresInSeconds`: 1 to 86,400. */
export function decisionUrl(
  { tenantId, principalId }: Pick<Caller, "tenantId" | "principalId">,
  approvalId: string,
  expiresInSeconds: number,
): string {
  const token = signLink(LINK, { tenantId, approvalId, principalId }, secondsFromNow(expiresInSeconds));
  return toPublicUrl(`/approvals/${token}`);
}

/** @throws LINK_INVALID, LINK_EXPIRED */
export function readLink(token: string): LinkPayload {
  return read(linkPayload, LINK, token);
}

/** Whoever has read the page needs no longer than this to decide; afterwards it is to be read again. */
const FORM_SECONDS = 30 * 60;

/** The token in the body of a page's form. */
export function signForm(payload: FormPayload): string {
  return signLink(FORM, payload, secondsFromNow(FORM_SECONDS));
}

/** @throws LINK_INVALID, LINK_EXPIRED; a form of another link is not valid */
export function readForm(token: string, link: LinkPayload): FormPayload {
  const form = read(formPayload, FORM, token);
  const isOfLink =
    form.tenantId === link.tenantId && form.approvalId === link.approvalId && form.principalId === link.principalId;
  if (!isOfLink) throw secretErrors.LINK_INVALID();
  return form;
}

function secondsFromNow(seconds: number): Date {
  return new Date(Date.now() + seconds * 1_000);
}

/** One answer for what is not ours and for what we would not write: whoever guesses learns nothing. */
function read<Payload>(schema: z.ZodType<Payload>, purpose: string, token: string): Payload {
  try {
    return schema.parse(verifyLink(purpose, token));
  } catch (thrown) {
    throw thrown instanceof AppError ? thrown : secretErrors.LINK_INVALID({ cause: thrown });
  }
}
