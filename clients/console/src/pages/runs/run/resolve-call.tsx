import { Alert, Button, Group, JsonInput, Radio, Stack, Text, Textarea } from "@mantine/core";
import { useState } from "react";
import type { RunsResolveToolCallMutationVariables, RunsToolCallFragment } from "../../../generated/runs/graphql.ts";
import { useRunsResolveToolCallMutation } from "../../../generated/runs/hooks.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { ErrorNotice, useNotify } from "../../../parts/error-notice.tsx";
import { IconAlertTriangle } from "../../../parts/icons.ts";
import { messages } from "./messages.ts";

type ToolCallResolution = RunsResolveToolCallMutationVariables["outcome"];

/** What became of a call of which nobody knows, said by an operator, once. */
export function ResolveCall({ call }: { readonly call: RunsToolCallFragment }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [outcome, setOutcome] = useState<ToolCallResolution>();
  const [result, setResult] = useState("");
  const [reason, setReason] = useState("");
  const [resolve, { loading, error }] = useRunsResolveToolCallMutation({ context: { outbox: true } });
  const answered = outcome === "SUCCEEDED" && result.trim() !== "" ? parsed(result) : undefined;
  const isBad = answered === BAD;
  const send = async (said: ToolCallResolution): Promise<void> => {
    await resolve({
      variables: {
        toolCallId: call.id,
        outcome: said,
        ...(answered === undefined ? {} : { result: answered }),
        ...(reason === "" ? {} : { reason }),
      },
    });
    notify.success(t.resolved);
  };
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle size={20} />} title={t.unknownTitle}>
      <Stack gap="sm">
        <Text size="sm">{t.unknownText}</Text>
        <Radio.Group
          aria-label={t.unknownTitle}
          value={outcome ?? ""}
          onChange={(value) => {
            setOutcome(value as ToolCallResolution);
          }}
        >
          <Group gap="md">
            <Radio value="SUCCEEDED" label={t.outcomeSucceeded} />
            <Radio value="FAILED" label={t.outcomeFailed} />
            <Radio value="RETRY" label={t.outcomeRetry} />
          </Group>
        </Radio.Group>
        {outcome === "SUCCEEDED" && (
          <JsonInput
            label={t.resultLabel}
            value={result}
            onChange={setResult}
            autosize
            minRows={2}
            error={isBad && t.badJson}
          />
        )}
        {outcome !== undefined && (
          <Textarea
            label={t.reason}
            value={reason}
            maxLength={2_000}
            onChange={({ currentTarget }) => {
              setReason(currentTarget.value);
            }}
          />
        )}
        {error && <ErrorNotice error={error} />}
        <Group>
          <Button
            size="sm"
            disabled={outcome === undefined || isBad}
            loading={loading}
            onClick={() => {
              // The error is shown where it was said.
              if (outcome !== undefined) send(outcome).catch(() => undefined);
            }}
          >
            {t.resolve}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}

const BAD = Symbol("not JSON");

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return BAD;
  }
}
