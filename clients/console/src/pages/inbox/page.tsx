import { SegmentedControl } from "@mantine/core";
import { useLocation, useRoute } from "wouter";
import { useInbox } from "../../app/inbox.tsx";
import { useMessages } from "../../i18n/messages.ts";
import { Page } from "../../parts/page.tsx";
import { Ended } from "./ended.tsx";
import { messages } from "./messages.ts";
import { Waiting } from "./waiting.tsx";

const VIEWS = ["mine", "all", "ended"] as const;

/** What waits for a decision, live; and what was decided: /inbox, /inbox/all, /inbox/ended. */
export default function InboxPage() {
  const t = useMessages(messages);
  const { live, mine } = useInbox();
  const [, params] = useRoute("/inbox/:view");
  const [, navigate] = useLocation();
  const view = VIEWS.find((each) => each === params?.view) ?? "mine";
  const labels = { mine: t.mine(mine.length), all: t.all(live?.data?.length ?? 0), ended: t.ended };
  return (
    <Page title={t.title} description={t.description} width="narrow">
      <SegmentedControl
        aria-label={t.views}
        value={view}
        fullWidth
        data={VIEWS.map((value) => ({ value, label: labels[value] }))}
        onChange={(value) => {
          navigate(value === "mine" ? "/inbox" : `/inbox/${value}`);
        }}
      />
      {view === "ended" ? <Ended /> : <Waiting live={live} isMineOnly={view === "mine"} />}
    </Page>
  );
}
