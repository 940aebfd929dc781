import { lazy } from "react";
import { Route, Switch } from "wouter";
import { NotFound } from "../../app/not-found.tsx";
import { WorkflowList } from "./list.tsx";

const WorkflowRunPage = lazy(() => import("./run-page.tsx"));

export default function WorkflowsPage() {
  return (
    <Switch>
      <Route path="/workflows" component={WorkflowList} />
      <Route path="/workflows/:id">{({ id }) => <WorkflowRunPage key={id} workflowRunId={id} />}</Route>
      <Route component={NotFound} />
    </Switch>
  );
}
