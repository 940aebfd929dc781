import { Button, Center, Stack } from "@mantine/core";
import type { Pages } from "../data/use-pages.ts";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice } from "./error-notice.tsx";
import { messages } from "./messages.ts";

/** Below a list of `usePages`: its next page, while there is one. */
export function LoadMore({ pages }: { readonly pages: Pages<unknown> }) {
  const t = useMessages(messages);
  if (!pages.hasMore) return null;
  return (
    <Stack gap="sm">
      {pages.error !== undefined && <ErrorNotice error={pages.error} />}
      <Center>
        <Button variant="default" loading={pages.isLoadingMore} onClick={pages.loadMore}>
          {t.loadMore}
        </Button>
      </Center>
    </Stack>
  );
}
