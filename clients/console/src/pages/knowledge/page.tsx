import { Route, Switch } from "wouter";
import { NotFound } from "../../app/not-found.tsx";
import { CollectionView } from "./collection.tsx";
import { CollectionsView } from "./collections.tsx";
import { DocumentView } from "./document.tsx";

export default function KnowledgePage() {
  return (
    <Switch>
      <Route path="/knowledge">
        <CollectionsView />
      </Route>
      <Route path="/knowledge/documents/:id">{({ id }) => <DocumentView key={id} id={id} />}</Route>
      <Route path="/knowledge/:id">{({ id }) => <CollectionView key={id} id={id} />}</Route>
      <Route component={NotFound} />
    </Switch>
  );
}
