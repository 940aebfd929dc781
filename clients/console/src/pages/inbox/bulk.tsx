import { Alert, Button, Checkbox, Code, Group, List, Modal, Paper, Stack, Text, Textarea } from "@mantine/core";
import { toApiError, type ApprovalDecision, type LiveApproval } from "@sba/client";
import { useState } from "react";
import { gistOf } from "../../approval/params.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { explain } from "../../parts/error-notice.tsx";
import { IconCheck, IconX } from "../../parts/icons.ts";
import { messages as parts } from "../../parts/messages.ts";
import classes from "./inbox.module.css";
import { messages } from "./messages.ts";
import type { BulkDecide } from "./use-bulk-decide.ts";

interface BulkBarProps {
  /** All that can be chosen. */
  readonly choices: readonly LiveApproval[];
  readonly chosen: readonly LiveApproval[];
  readonly onChoose: (approvals: readonly LiveApproval[]) => void;
  readonly bulk: BulkDecide;
}

/** Above the list: chooses all of it, and decides what is chosen, once that was confirmed. */
export function BulkBar({ choices, chosen, onChoose, bulk }: BulkBarProps) {
  const t = useMessages(messages);
  const [decision, setDecision] = useState<ApprovalDecision>();
  const isBusy = bulk.deciding > 0;
  return (
    <Paper withBorder radius="lg" px="md" py="xs" className={classes["bar"]}>
      <Group justify="space-between" gap="sm" mih={36}>
        <Checkbox
          label={chosen.length === 0 ? t.chooseAll : t.chosen(chosen.length)}
          checked={chosen.length > 0 && chosen.length === choices.length}
          indeterminate={chosen.length > 0 && chosen.length < choices.length}
          disabled={isBusy}
          onChange={({ currentTarget }) => {
            onChoose(currentTarget.checked ? choices : []);
          }}
        />
        {(chosen.length > 0 || isBusy) && (
          <Group gap="xs">
            <Button
              size="xs"
              leftSection={<IconCheck size={14} />}
              loading={isBusy}
              onClick={() => {
                setDecision("APPROVED");
              }}
            >
              {t.approveChosen}
            </Button>
            <Button
              size="xs"
              variant="default"
              leftSection={<IconX size={14} />}
              disabled={isBusy}
              onClick={() => {
                setDecision("DENIED");
              }}
            >
              {t.denyChosen}
            </Button>
          </Group>
        )}
      </Group>
      <BulkDialog
        decision={decision}
        approvals={chosen}
        onClose={() => {
          setDecision(undefined);
        }}
        onConfirm={(reason) => {
          if (decision !== undefined)
            void bulk.decideAll(chosen, { decision, ...(reason === undefined ? {} : { reason }) });
          setDecision(undefined);
          onChoose([]);
        }}
      />
    </Paper>
  );
}

interface BulkDialogProps {
  readonly decision: ApprovalDecision | undefined;
  readonly approvals: readonly LiveApproval[];
  readonly onClose: () => void;
  readonly onConfirm: (reason: string | undefined) => void;
}

/** Says once more what is about to be decided, all of it, and asks why it is denied. */
function BulkDialog({ decision, approvals, onClose, onConfirm }: BulkDialogProps) {
  const t = useMessages(messages);
  const { close } = useMessages(parts);
  const format = useFormat();
  const [reason, setReason] = useState("");
  const isDenial = decision === "DENIED";
  const cost = approvals.reduce((sum, { costEstimate }) => sum + BigInt(costEstimate.amountMicros), 0n);
  const currency = approvals[0]?.costEstimate.currency;
  const count = approvals.length;
  return (
    <Modal
      opened={decision !== undefined}
      onClose={onClose}
      title={isDenial ? t.denyTitle(count) : t.approveTitle(count)}
      // What it says is gone with what was chosen.
      transitionProps={{ duration: 0 }}
      closeButtonProps={{ "aria-label": close }}
    >
      <Stack gap="md">
        <List size="sm" spacing={4} className={classes["chosen"]}>
          {approvals.map((approval) => (
            <List.Item key={approval.id}>
              <Code>{approval.action}</Code> {gistOf(approval.params)}
            </List.Item>
          ))}
        </List>
        {!isDenial && currency !== undefined && (
          <Text size="sm" c="dimmed">
            {t.costTogether(format.money({ amountMicros: String(cost), currency }))}
          </Text>
        )}
        {isDenial && (
          <Textarea
            label={t.reason}
            description={t.reasonForAll}
            autosize
            minRows={2}
            data-autofocus
            value={reason}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
        )}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button
            color={isDenial ? "red.8" : "brand"}
            disabled={isDenial && reason.trim() === ""}
            onClick={() => {
              onConfirm(isDenial ? reason.trim() : undefined);
            }}
          >
            {isDenial ? t.denyChosen : t.approveChosen}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** What became of them: how many went through, and each one that did not, with why. */
export function BulkSummary({ bulk: { outcomes, forget } }: { readonly bulk: BulkDecide }) {
  const t = useMessages(messages);
  const texts = useMessages(parts);
  if (outcomes.length === 0) return null;
  const failed = outcomes.filter((outcome) => "error" in outcome);
  const count = (status: string) =>
    outcomes.filter((outcome) => "status" in outcome && outcome.status === status).length;
  const lines = [
    [count("APPROVED"), t.approvedCount] as const,
    [count("DENIED"), t.deniedCount] as const,
    [count("PENDING"), t.votedCount] as const,
    [failed.length, t.failedCount] as const,
  ].flatMap(([number, text]) => (number > 0 ? [text(number)] : []));
  return (
    <Alert
      color={failed.length > 0 ? "yellow" : "teal"}
      variant="light"
      role="status"
      title={lines.join(" · ")}
      withCloseButton
      closeButtonLabel={texts.close}
      onClose={forget}
    >
      {failed.length > 0 && (
        <List size="sm" spacing={4}>
          {failed.map(({ approval, error }) => (
            <List.Item key={approval.id}>
              <Code>{approval.action}</Code> {gistOf(approval.params)}: {explain(toApiError(error), texts).title}
            </List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}
