import { Skeleton, Stack, VisuallyHidden } from "@mantine/core";
import type { ReactNode } from "react";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice, type Way } from "./error-notice.tsx";
import { messages } from "./messages.ts";

interface QueryStateProps<T> {
  /** As it was answered; also what is kept of an earlier answer. */
  readonly data: T | undefined;
  readonly error: unknown;
  readonly onRetry: () => void;
  /** Of what the address names: where to go when it is not there. */
  readonly back?: Way;
  /** While nothing has been answered: the shape of what will be there. */
  readonly skeleton?: ReactNode;
  readonly isEmpty?: (data: T) => boolean;
  /** What to do where there is nothing yet: an `<EmptyState>`. */
  readonly empty?: ReactNode;
  readonly children: (data: T) => ReactNode;
}

/**
 * Every state of what is read: its shape while it is loading, an error with a retry, what to do when there is nothing, the data.
 *
 *     const { data, error, refetch } = useRunsListQuery();
 *     <QueryState data={data} error={error} onRetry={() => void refetch()} isEmpty={...} empty={<EmptyState .../>}>
 */
export function QueryState<T>(props: QueryStateProps<T>) {
  const { data, error, onRetry, back, skeleton, isEmpty, empty, children } = props;
  const notice =
    error === undefined || error === null ? null : <ErrorNotice error={error} onRetry={onRetry} back={back} />;
  if (data === undefined) return notice ?? <Loading>{skeleton ?? <Lines />}</Loading>;
  return (
    <>
      {notice}
      {isEmpty?.(data) === true ? empty : children(data)}
    </>
  );
}

function Loading({ children }: { readonly children: ReactNode }) {
  const t = useMessages(messages);
  return (
    <div role="status" aria-live="polite">
      <VisuallyHidden>{t.loading}</VisuallyHidden>
      {children}
    </div>
  );
}

/** Some lines of text that are not there yet. */
export function Lines({ count = 4, height = 18 }: { readonly count?: number; readonly height?: number }) {
  return (
    <Stack gap="sm" aria-hidden>
      {Array.from({ length: count }, (_, index) => (
        <Skeleton key={index} height={height} radius="sm" width={index === count - 1 ? "60%" : "100%"} />
      ))}
    </Stack>
  );
}
