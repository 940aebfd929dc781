import { lazy } from "react";
import { Route, Switch } from "wouter";
import { NotFound } from "../../app/not-found.tsx";
import { RunList } from "./list.tsx";

const RunPage = lazy(() => import("./run/run-page.tsx"));
const ReplayPage = lazy(() => import("./replay/replay-page.tsx"));
const ComparePage = lazy(() => import("./compare/compare-page.tsx"));
const AttentionPage = lazy(() => import("./attention/attention-page.tsx"));

export default function RunsPage() {
  return (
    <Switch>
      <Route path="/runs" component={RunList} />
      <Route path="/runs/compare" component={ComparePage} />
      <Route path="/runs/attention" component={AttentionPage} />
      <Route path="/runs/:id/replay">{({ id }) => <ReplayPage key={id} runId={id} />}</Route>
      <Route path="/runs/:id">{({ id }) => <RunPage key={id} runId={id} />}</Route>
      <Route component={NotFound} />
    </Switch>
  );
}
