import { Code, CopyButton, Group, Text, UnstyledButton, VisuallyHidden } from "@mantine/core";
import type { LiveApproval } from "@sba/client";
import type { ReactNode } from "react";
import { useFormat } from "../i18n/format.ts";
import { useMessages } from "../i18n/messages.ts";
import { messages as parts } from "../parts/messages.ts";
import { useNow } from "../parts/use-now.ts";
import classes from "./card.module.css";
import { messages } from "./messages.ts";

export function Field({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed" fw={500}>
        {label}
      </Text>
      <Text size="sm" component="div" className={classes["value"]}>
        {children}
      </Text>
    </div>
  );
}

/** What there is to know before one decides: what it costs and reaches, who may decide, and until when. */
export function Facts({ approval }: { readonly approval: LiveApproval }) {
  const t = useMessages(messages);
  const format = useFormat();
  const { costEstimate, scope, requires, status, expiresAt, createdAt } = approval;
  return (
    <Group gap="xl" align="flex-start" style={{ rowGap: "var(--mantine-spacing-sm)" }}>
      <Field label={t.cost}>{format.money(costEstimate)}</Field>
      {scope.length > 0 && <Field label={t.reaches}>{scope.join(", ")}</Field>}
      {requires.length > 0 && <Field label={t.needs}>{requires.join(", ")}</Field>}
      <Policy approval={approval} />
      <Field label={t.askedAt}>
        <time dateTime={createdAt}>{format.dateTime(createdAt)}</time>
      </Field>
      {status === "PENDING" && expiresAt !== null && (
        <Field label={t.expires}>
          <Countdown to={expiresAt} />
        </Field>
      )}
      <Field label={t.fingerprint}>
        <Fingerprint value={approval.fingerprint} />
      </Field>
    </Group>
  );
}

/** By whom it may be decided, and who has approved so far where it takes more than one. */
function Policy({ approval: { policy, decisions } }: { readonly approval: LiveApproval }) {
  const t = useMessages(messages);
  const approvers = policy.approvers.map(({ role, user }) => user?.displayName ?? t.roles(role?.key ?? ""));
  const names = decisions
    .filter(({ decision }) => decision === "APPROVED")
    .map(({ decidedBy }) => decidedBy.displayName);
  return (
    <>
      <Field label={t.approvers}>
        {approvers.join(", ")}
        {!policy.allowRequester && ` (${t.notRequester})`}
      </Field>
      {policy.quorum > 1 && (
        <Field label={t.votes}>
          {t.quorum(names.length, policy.quorum)}
          {names.length > 0 && `: ${names.join(", ")}`}
        </Field>
      )}
    </>
  );
}

function Countdown({ to }: { readonly to: string }) {
  const t = useMessages(messages);
  const format = useFormat();
  const now = useNow();
  const leftMs = new Date(to).getTime() - now.getTime();
  return (
    <time dateTime={to} title={format.dateTime(to)}>
      {leftMs <= 0 ? t.expiresNow : format.relative(to, now)}
    </time>
  );
}

const SHOWN = 12;

/** Its beginning; the whole of it goes to the clipboard. */
function Fingerprint({ value }: { readonly value: string }) {
  const t = useMessages(parts);
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <UnstyledButton onClick={copy} title={value}>
          <VisuallyHidden>{t.copy} </VisuallyHidden>
          <Code>{copied ? t.copied : value.slice(0, SHOWN)}</Code>
        </UnstyledButton>
      )}
    </CopyButton>
  );
}
