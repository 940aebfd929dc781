import { createHash } from "node:crypto";
import type { AppError } from "@sba/platform/errors";
import type { Approval } from "@sba/platform/generated/prisma/client";

/** What approvers see behind a link: plain pages that need no script. Everything in them that others wrote is escaped. */

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
  pre { font: 14px/1.5 ui-monospace, monospace; background: #f2f2f2; padding: 1rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }
  dt { font-weight: 600 } dd { margin: 0 0 .75rem }
  label { display: block; font-weight: 600 }
  textarea { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem }
  button { font: inherit; padding: .6rem 1.4rem; margin: 1rem 1rem 0 0; border: 2px solid; border-radius: .3rem; cursor: pointer }
  .approve { color: #fff; background: #14632f; border-color: #14632f } .deny { color: #8a1212; background: #fff; border-color: #8a1212 }
  :focus-visible { outline: 3px solid #1a56c4; outline-offset: 2px }
  @media (prefers-color-scheme: dark) {
    body { color: #eee; background: #161616 } pre { background: #262626 }
    .deny { color: #ff9c9c; background: #161616; border-color: #ff9c9c } textarea { color: inherit; background: #262626 }
  }`;

// The page's own style and its own form, nothing else: no script, no picture, no other site.
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The address holds the link: it is not to be kept by caches, told to other sites or found by search engines. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-robots-tag": "noindex",
};

export interface DecisionPage {
  readonly approval: Approval;
  /** Who asks, as identity names them. */
  readonly requester: string | undefined;
  readonly approvals: number;
  /** Of the form; absent when there is nothing that this person may decide. */
  readonly form?: string;
  /** Why not. */
  readonly refusal?: AppError | undefined;
}

export const MAX_REASON_LENGTH = 2_000;

/** What is asked, and a form to decide it, or why this person cannot. */
export function decisionPage({ approval, requester, approvals, form, refusal }: DecisionPage): string {
  const { action, params, costEstimateMicros, currency, scope, requires, quorum, expiresAt, status } = approval;
  const facts: [string, string][] = [
    ["Asked by", escape(requester ?? "somebody who has left")],
    ["With", `<pre>${escape(JSON.stringify(params, null, 2))}</pre>`],
    ["Expected cost", escape(`${(Number(costEstimateMicros) / 1_000_000).toFixed(6)} ${currency}`)],
    ["For", escape(scope.join(", ") || "nothing else")],
    ["Permissions used", escape(requires.join(", ") || "none")],
    ["Approvals", escape(`${approvals} of ${quorum}`)],
    ...(expiresAt && status === "PENDING"
      ? [["To be decided until", `<time>${escape(expiresAt.toISOString())}</time>`] as [string, string]]
      : []),
  ];
  return page(
    `Approve ${action}?`,
    `<h1>May <em>${escape(action)}</em> run?</h1>
  <dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join("")}</dl>
  ${form === undefined ? `<p role="status">${escape(refusal?.message ?? "")} It is ${escape(status)}.</p>` : formOf(form)}`,
  );
}

function formOf(token: string): string {
  return `<form method="post" autocomplete="off">
    <input type="hidden" name="token" value="${escape(token)}">
    <label for="reason">Reason (optional)</label>
    <textarea id="reason" name="reason" rows="3" maxlength="${MAX_REASON_LENGTH}"></textarea>
    <button class="approve" name="decision" value="APPROVED">Approve</button>
    <button class="deny" name="decision" value="DENIED">Deny</button>
  </form>`;
}

/** What was done. */
export function decidedPage({ action, status }: Approval, decision: string): string {
  const approved = decision === "APPROVED";
  const rest = approved && status === "PENDING" ? " More approvals are needed before it runs." : "";
  return page(
    "Decided",
    `<h1 role="status">You ${approved ? "approved" : "denied"} <em>${escape(action)}</em>.</h1><p>Thank you.${rest} You can close this page.</p>`,
  );
}

/** What could not be done. */
export function refusalPage(error: AppError): string {
  const { status } = error.details;
  const state = typeof status === "string" ? ` It is ${status}.` : "";
  return page("Not decided", `<h1 role="alert">Nothing was decided.</h1><p>${escape(error.message + state)}</p>`);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title><style>${STYLE}</style></head>
<body><main>${body}</main></body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
