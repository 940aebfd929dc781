import { Alert, Button, Code, CopyButton, Group, Stack, Text } from "@mantine/core";
import {
  BadInputError,
  ConflictError,
  ForbiddenError,
  NetworkError,
  NotFoundError,
  QuotaExceededError,
  RateLimitedError,
  toApiError,
  type ApiError,
} from "@sba/client";
import { useMemo } from "react";
import { Link } from "wouter";
import { IconAlertTriangle, IconRefresh } from "./icons.ts";
import { useMessages } from "../i18n/messages.ts";
import { messages } from "./messages.ts";
import { showNotice } from "./notices.tsx";

type Texts = ReturnType<typeof useMessages<(typeof messages)["en"]>>;

interface Explained {
  readonly title: string;
  readonly text: string;
}

/** What went wrong, in the words of somebody who has work to do. What the API says of an input is for them, too. */
export function explain(error: ApiError, t: Texts): Explained {
  if (error instanceof NetworkError) return { title: t.networkTitle, text: t.networkText };
  if (error instanceof ForbiddenError) return { title: t.forbiddenTitle, text: t.forbiddenText };
  if (isNotThere(error)) return { title: t.notFoundTitle, text: t.notFoundText };
  if (error.reason === "IDENTITY_LAST_OWNER") return { title: t.lastOwnerTitle, text: t.lastOwnerText };
  if (error instanceof ConflictError) return { title: t.conflictTitle, text: t.conflictText };
  if (error instanceof RateLimitedError) return { title: t.rateTitle, text: t.rateText };
  if (error instanceof QuotaExceededError) return { title: t.quotaTitle, text: error.message };
  if (error instanceof BadInputError) return { title: t.inputTitle, text: error.message };
  return { title: t.otherTitle, text: t.otherText };
}

/** Nothing of that id, or of no id at all, as in a link that was cut off: it will not be there the next time either. */
function isNotThere(error: ApiError): boolean {
  return error instanceof NotFoundError || error.reason === "ID_INVALID";
}

export interface Way {
  readonly href: string;
  readonly label: string;
}

interface ErrorNoticeProps {
  readonly error: unknown;
  readonly onRetry?: (() => void) | undefined;
  /** Where to go when it is not there. */
  readonly back?: Way | undefined;
}

/** An error where what failed would have been, with the number under which it is logged. */
export function ErrorNotice({ error, onRetry, back }: ErrorNoticeProps) {
  const t = useMessages(messages);
  const apiError = toApiError(error);
  const { title, text } = explain(apiError, t);
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle size={20} />} title={title} role="alert">
      <Stack gap="sm" align="flex-start">
        <Text size="sm">{text}</Text>
        {apiError.requestId !== undefined && <RequestId id={apiError.requestId} />}
        {isNotThere(apiError) && back && (
          <Button component={Link} href={back.href} size="xs" variant="default">
            {back.label}
          </Button>
        )}
        {!isNotThere(apiError) && onRetry && (
          <Button size="xs" variant="default" leftSection={<IconRefresh size={14} />} onClick={onRetry}>
            {t.retry}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

function RequestId({ id }: { readonly id: string }) {
  const t = useMessages(messages);
  return (
    <Group gap="xs">
      <Code style={{ wordBreak: "break-all" }}>{t.requestId(id)}</Code>
      <CopyButton value={id}>
        {({ copied, copy }) => (
          <Button size="compact-xs" variant="subtle" onClick={copy}>
            {copied ? t.copied : t.copy}
          </Button>
        )}
      </CopyButton>
    </Group>
  );
}

export interface Notify {
  readonly error: (error: unknown) => void;
  readonly success: (message: string) => void;
}

/** What became of something that was done, in the corner, for a moment. */
export function useNotify(): Notify {
  const t = useMessages(messages);
  return useMemo(
    () => ({
      error: (error) => {
        const apiError = toApiError(error);
        const { title, text } = explain(apiError, t);
        const id = apiError.requestId === undefined ? "" : ` (${t.requestId(apiError.requestId)})`;
        showNotice({ color: "red", title, message: `${text}${id}`, autoClose: 10_000, closeLabel: t.close });
      },
      success: (message) => {
        showNotice({ color: "teal", message, closeLabel: t.close });
      },
    }),
    [t],
  );
}
