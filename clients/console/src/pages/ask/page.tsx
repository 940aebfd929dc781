import { Button } from "@mantine/core";
import { Link, useRoute } from "wouter";
import { useMessages } from "../../i18n/messages.ts";
import { IconPlus } from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { messages } from "./messages.ts";
import { NewThread } from "./new-thread.tsx";
import { Thread } from "./thread.tsx";

/** `/ask` begins a conversation, `/ask/:runId` is one. */
export default function AskPage() {
  const t = useMessages(messages);
  const [isThread, params] = useRoute<{ runId: string }>("/ask/:runId");
  return (
    <Page
      title={t.title}
      width="narrow"
      actions={
        isThread && (
          <Button component={Link} href="/ask" variant="default" size="sm" leftSection={<IconPlus size={16} />}>
            {t.newThread}
          </Button>
        )
      }
    >
      {isThread ? <Thread key={params.runId} runId={params.runId} /> : <NewThread />}
    </Page>
  );
}
