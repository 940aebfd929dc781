import { useMessages } from "../../i18n/messages.ts";
import { Page } from "../../parts/page.tsx";
import { messages } from "./messages.ts";

export default function AskPage() {
  const t = useMessages(messages);
  return (
    <Page title={t.title} width="narrow">
      <p />
    </Page>
  );
}
