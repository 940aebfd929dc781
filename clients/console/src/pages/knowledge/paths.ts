/** Where things of this page are, also for pages that lead here. */

export const collectionPath = (id: string): string => `/knowledge/${id}`;

interface DocumentPlace {
  readonly passage?: number | null | undefined;
  /** What was asked for: it is marked. */
  readonly query?: string | undefined;
}

/** A document, at a passage of it. */
export function documentPath(id: string, { passage, query }: DocumentPlace = {}): string {
  const search = new URLSearchParams();
  if (passage != null) search.set("passage", String(passage));
  if (query !== undefined) search.set("q", query);
  return `/knowledge/documents/${id}${search.size === 0 ? "" : `?${search.toString()}`}`;
}
