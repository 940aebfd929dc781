import { lazy, Suspense, useSyncExternalStore } from "react";

/** Short messages in the corner. What shows them is loaded with the first: most visits have none. */

export interface Notice {
  readonly color: string;
  readonly title?: string;
  readonly message: string;
  readonly autoClose?: number;
  /** What the button is called that takes it away. */
  readonly closeLabel: string;
}

const List = lazy(() => import("./notice-list.tsx"));
const listeners = new Set<() => void>();
let isWanted = false;

export function showNotice(notice: Notice): void {
  isWanted = true;
  for (const listener of listeners) listener();
  void import("./notice-list.tsx").then(({ show }) => {
    show(notice);
  });
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Notices() {
  return useSyncExternalStore(subscribe, () => isWanted) ? (
    <Suspense fallback={null}>
      <List />
    </Suspense>
  ) : null;
}
