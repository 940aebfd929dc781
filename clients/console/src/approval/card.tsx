import { Button, Code, Group, Paper, Stack, Text, Textarea, ThemeIcon } from "@mantine/core";
import type { LiveApproval } from "@sba/client";
import { useEffect, useRef, useState, type ReactNode, type RefObject } from "react";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice } from "../parts/error-notice.tsx";
import { IconCheck, IconPencil, IconShieldQuestion, IconX } from "../parts/icons.ts";
import classes from "./card.module.css";
import { Facts, Field } from "./facts.tsx";
import { messages } from "./messages.ts";
import { editedOf, paramsOf, textOf, type Drafts } from "./params.ts";
import { problemsOf, useDecide, type Decide } from "./use-decide.ts";

interface ApprovalCardProps {
  readonly approval: LiveApproval;
  /** Says for what it was asked: where the run is not in sight. */
  readonly showRun?: boolean;
  /** Beside the title, such as a checkbox. */
  readonly aside?: ReactNode;
}

/** What an agent wants to do, exactly, and the decision of whoever may decide it. It follows what becomes of it. */
export function ApprovalCard({ approval: seen, showRun = false, aside }: ApprovalCardProps) {
  const t = useMessages(messages);
  const [drafts, setDrafts] = useState<Drafts>();
  const decide = useDecide(seen);
  const { approval } = decide;
  const isPending = approval.status === "PENDING";
  const card = useFocusAfter(decide.isDeciding, isPending);
  return (
    <Paper
      ref={card}
      tabIndex={-1}
      component="article"
      withBorder
      radius="lg"
      p="md"
      className={isPending && approval.mayDecide ? classes["waiting"] : undefined}
      aria-label={`${t.heading} ${approval.action}`}
      data-approval={approval.status}
    >
      <Stack gap="md">
        <Heading approval={approval} aside={aside} />
        {showRun && approval.run && <Field label={t.forPrompt}>{approval.run.prompt}</Field>}
        <Params
          approval={approval}
          drafts={isPending ? drafts : undefined}
          problems={problemsOf(decide.error)}
          onChange={setDrafts}
        />
        <Facts approval={approval} />
        {decide.error !== undefined && <ErrorNotice error={decide.error} />}
        {isPending ? (
          <Actions approval={approval} decide={decide} drafts={drafts} setDrafts={setDrafts} />
        ) : (
          <Outcome approval={approval} />
        )}
      </Stack>
    </Paper>
  );
}

/** The button that was pressed is gone with the decision: whoever works by keyboard goes on from the card, not from the page's beginning. */
function useFocusAfter(isDeciding: boolean, isPending: boolean): RefObject<HTMLElement | null> {
  const card = useRef<HTMLElement>(null);
  const wasDeciding = useRef(false);
  useEffect(() => {
    if (isDeciding) wasDeciding.current = true;
    if (isPending || !wasDeciding.current || isDeciding) return;
    wasDeciding.current = false;
    if (document.activeElement === document.body) card.current?.focus({ preventScroll: true });
  }, [isDeciding, isPending]);
  return card;
}

function Heading({ approval, aside }: Pick<ApprovalCardProps, "approval" | "aside">) {
  const t = useMessages(messages);
  const requester = approval.run?.startedBy?.displayName;
  return (
    <Group gap="sm" wrap="nowrap" align="flex-start">
      <ThemeIcon variant="light" radius="md" size={36} color={COLOURS[approval.status]} aria-hidden>
        <IconShieldQuestion size={20} />
      </ThemeIcon>
      <div className={classes["grow"]}>
        <Text fw={600}>{approval.status === "PENDING" ? t.heading : t[approval.status]}</Text>
        <Text size="sm" c="dimmed">
          <Code>{approval.action}</Code> {requester !== undefined && t.askedBy(requester)}
        </Text>
      </div>
      {aside}
    </Group>
  );
}

const COLOURS: Readonly<Record<LiveApproval["status"], string>> = {
  PENDING: "yellow",
  APPROVED: "teal",
  DENIED: "red",
  EXPIRED: "gray",
  CANCELLED: "gray",
  SUPERSEDED: "gray",
};

interface ParamsProps {
  readonly approval: LiveApproval;
  /** What was typed, by name; undefined while nothing is edited. */
  readonly drafts: Drafts | undefined;
  /** What the tool does not take, by name. */
  readonly problems: Readonly<Record<string, string>>;
  readonly onChange: (drafts: Drafts) => void;
}

function Params({ approval, drafts, problems, onChange }: ParamsProps) {
  const t = useMessages(messages);
  const params = paramsOf(approval.params, approval.editableParams);
  if (params.length === 0) return <Field label={t.params}>{t.noParams}</Field>;
  const invalid = drafts === undefined ? [] : editedOf(params, drafts).invalid;
  return (
    <Stack gap="xs" className={classes["params"]}>
      {params.map(({ name, value, isEditable }) =>
        drafts !== undefined && isEditable ? (
          <Textarea
            key={name}
            label={name}
            size="sm"
            autosize
            minRows={1}
            maxRows={10}
            value={drafts[name] ?? textOf(value)}
            error={invalid.includes(name) ? t.badJson : problems[name]}
            onChange={({ currentTarget }) => {
              onChange({ ...drafts, [name]: currentTarget.value });
            }}
          />
        ) : (
          <Field key={name} label={name}>
            {typeof value === "string" ? value : <Code block>{textOf(value)}</Code>}
          </Field>
        ),
      )}
    </Stack>
  );
}

interface ActionsProps {
  readonly approval: LiveApproval;
  readonly decide: Decide;
  readonly drafts: Drafts | undefined;
  readonly setDrafts: (drafts: Drafts | undefined) => void;
}

function Actions({ approval, decide, drafts, setDrafts }: ActionsProps) {
  const t = useMessages(messages);
  const [isDenying, setDenying] = useState(false);
  if (decide.hasVoted) return <Text size="sm">{t.voted}</Text>;
  if (!approval.mayDecide)
    return (
      <Text size="sm" c="dimmed">
        {t.waitingForOthers}
      </Text>
    );
  if (isDenying)
    return (
      <Denial
        decide={decide}
        onBack={() => {
          setDenying(false);
        }}
      />
    );
  return (
    <Group gap="xs">
      <ApproveButton approval={approval} decide={decide} drafts={drafts} />
      <Button
        size="sm"
        variant="default"
        leftSection={<IconX size={16} />}
        disabled={decide.isDeciding}
        onClick={() => {
          setDenying(true);
        }}
      >
        {t.deny}
      </Button>
      {approval.editableParams.length > 0 && (
        <Button
          size="sm"
          variant="subtle"
          leftSection={<IconPencil size={16} />}
          disabled={decide.isDeciding}
          onClick={() => {
            setDrafts(drafts === undefined ? {} : undefined);
          }}
        >
          {drafts === undefined ? t.edit : t.cancelEdit}
        </Button>
      )}
    </Group>
  );
}

function ApproveButton({ approval, decide, drafts = {} }: Pick<ActionsProps, "approval" | "decide" | "drafts">) {
  const t = useMessages(messages);
  const { params, invalid } = editedOf(paramsOf(approval.params, approval.editableParams), drafts);
  return (
    <Button
      size="sm"
      leftSection={<IconCheck size={16} />}
      loading={decide.isDeciding}
      disabled={invalid.length > 0}
      onClick={() => {
        void decide.decide({ decision: "APPROVED", ...(params === undefined ? {} : { editedParams: params }) });
      }}
    >
      {params === undefined ? t.approve : t.approveEdited}
    </Button>
  );
}

/** A denial says why: the agent reads it. */
function Denial({ decide, onBack }: { readonly decide: Decide; readonly onBack: () => void }) {
  const t = useMessages(messages);
  const [reason, setReason] = useState("");
  const [isMissing, setMissing] = useState(false);
  const deny = () => {
    const said = reason.trim();
    setMissing(said === "");
    if (said !== "") void decide.decide({ decision: "DENIED", reason: said });
  };
  return (
    <Stack gap="xs">
      <Textarea
        label={t.reason}
        description={t.denyTitle}
        placeholder={t.reasonPlaceholder}
        error={isMissing ? t.required : undefined}
        autosize
        minRows={2}
        data-autofocus
        autoFocus
        value={reason}
        onChange={({ currentTarget }) => {
          setReason(currentTarget.value);
        }}
      />
      <Group gap="xs">
        <Button size="sm" color="red.8" loading={decide.isDeciding} onClick={deny}>
          {t.deny}
        </Button>
        <Button size="sm" variant="default" disabled={decide.isDeciding} onClick={onBack}>
          {t.back}
        </Button>
      </Group>
    </Stack>
  );
}

function Outcome({ approval: { status, decidedBy, reason } }: { readonly approval: LiveApproval }) {
  const t = useMessages(messages);
  return (
    <Text size="sm" role="status">
      <b>{t[status]}</b> {decidedBy && t.decidedBy(decidedBy.displayName)}
      {reason !== null && status === "DENIED" && `: ${reason}`}
    </Text>
  );
}
