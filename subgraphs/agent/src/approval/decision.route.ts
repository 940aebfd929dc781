import { findGrants, findPrincipals, readMemberRoles } from "@sba/identity/index";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenantOnce } from "@sba/platform/db";
import { ensureAppError, httpStatusOf, platformErrors } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { secretErrors } from "@sba/platform/secrets";
import type { Route, RouteRequest, RouteResponse } from "@sba/platform/server";
import { requireStorable } from "@sba/platform/storable";
import { z } from "zod";
import { errors } from "../errors.ts";
import { findApprovals } from "./approval.ts";
import { APPROVAL_DECISIONS } from "./approval.state.ts";
import { decideApproval, refusalFor, type Standing } from "./decide.ts";
import { decidedPage, decisionPage, MAX_REASON_LENGTH, PAGE_HEADERS, refusalPage } from "./decision-page.ts";
import { readForm, readLink, signForm, type LinkPayload } from "./link.ts";
import { readApproval } from "./lock.ts";

/** `GET /approvals/:token` shows what is asked and decides nothing: scanners of mail open every link. */
export const showApprovalRoute: Route = {
  method: "GET",
  path: "/approvals/:token",
  handle: (request) => answer(request, show),
};

/** `POST /approvals/:token` decides, by the form of such a page. */
export const decideApprovalRoute: Route = {
  method: "POST",
  path: "/approvals/:token",
  handle: (request) => answer(request, decide),
};

/** People read these answers: an error is a page as well. */
async function answer(
  request: RouteRequest,
  act: (request: RouteRequest, link: LinkPayload, caller: Caller) => Promise<string>,
): Promise<RouteResponse> {
  try {
    const link = readLink(request.params["token"] ?? "");
    const body = await act(request, link, await callerOfLink(link, request.requestId));
    return { status: 200, headers: PAGE_HEADERS, body };
  } catch (thrown) {
    const error = ensureAppError(thrown);
    if (error.kind === "internal")
      logger.error({ err: thrown, requestId: request.requestId }, "a decision page failed");
    return { status: httpStatusOf(error.kind), headers: PAGE_HEADERS, body: refusalPage(error) };
  }
}

/** The approver as they are now. @throws LINK_INVALID for whoever may no longer act in the tenant */
async function callerOfLink({ tenantId, principalId }: LinkPayload, requestId: string): Promise<Caller> {
  const grants = await findGrants({ tenantId }, principalId);
  if (!grants) throw secretErrors.LINK_INVALID();
  const { principalKind, permissions } = grants;
  return { tenantId, principalId, principalKind, permissions, requestId };
}

async function show(_request: RouteRequest, link: LinkPayload, caller: Caller): Promise<string> {
  requirePermission(caller, "approval:read");
  const standing = await readStanding(caller, link.approvalId);
  const { approval, decisions } = standing;
  const [requester] = await findPrincipals(caller, [approval.requestedBy]);
  const refusal = refusalFor(caller, standing);
  const { fingerprint, version } = approval;
  return decisionPage({
    approval,
    requester: requester?.displayName,
    approvals: decisions.filter(({ decision }) => decision === "APPROVED").length,
    ...(refusal ? { refusal } : { form: signForm({ ...link, fingerprint, version }) }),
  });
}

/** The approval and what the caller is to it. @throws AGENT_APPROVAL_NOT_FOUND */
async function readStanding(caller: Caller, id: string): Promise<Standing> {
  const [found, roles] = await withTenantOnce(caller, (tx) =>
    Promise.all([readApproval(tx, id), readMemberRoles(tx, caller, caller.principalId)]),
  );
  if (!found) throw errors.AGENT_APPROVAL_NOT_FOUND();
  return { ...found, roles };
}

const formFields = z.object({
  token: z.string(),
  decision: z.enum(APPROVAL_DECISIONS),
  reason: z.string().trim().max(MAX_REASON_LENGTH).optional(),
});

async function decide(request: RouteRequest, link: LinkPayload, caller: Caller): Promise<string> {
  const { token, decision, reason } = await readFields(request);
  const { approvalId, fingerprint, version } = readForm(token, link);
  await decideApproval(caller, {
    ...{ approvalId, decision, fingerprint, expectedVersion: version },
    reason: reason === "" ? undefined : reason,
  });
  const [approval] = await findApprovals(caller, [approvalId]);
  return decidedPage(approval!, decision);
}

const FORM_TYPE = "application/x-www-form-urlencoded";
const MAX_FORM_BYTES = 32 * 1024;

/** @throws INPUT_INVALID, PAYLOAD_TOO_LARGE for anything else than such a form */
async function readFields({ headers, body }: RouteRequest): Promise<z.infer<typeof formFields>> {
  if (headers["content-type"]?.split(";")[0]?.trim().toLowerCase() !== FORM_TYPE) throw platformErrors.INPUT_INVALID();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_FORM_BYTES) throw platformErrors.PAYLOAD_TOO_LARGE();
    chunks.push(chunk);
  }
  const fields = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString("utf8")));
  requireStorable(fields);
  const parsed = formFields.safeParse(fields);
  if (!parsed.success) throw platformErrors.INPUT_INVALID();
  return parsed.data;
}
