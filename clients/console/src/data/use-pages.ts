import { useCallback, useState } from "react";

interface Connection<T> {
  readonly edges: readonly { readonly node: T }[];
  readonly pageInfo: { readonly endCursor: string | null; readonly hasNextPage: boolean };
}

interface PagedResult<Data> {
  readonly data?: Data | undefined;
  fetchMore(options: { readonly variables: { readonly after: string | null } }): Promise<unknown>;
}

export interface Pages<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
  readonly isLoadingMore: boolean;
  /** Why the next page could not be read. */
  readonly error: unknown;
  readonly loadMore: () => void;
}

/**
 * A list that is read a page at a time: of a query with `$after`, whose field has a policy in `cache.ts`.
 *
 *     const runs = usePages(useRunsListQuery(), ({ runs }) => runs);
 */
export function usePages<Data, T>(
  result: PagedResult<Data>,
  connectionOf: (data: Data) => Connection<T>,
): Pages<T> {
  const { data, fetchMore } = result;
  const [isLoadingMore, setLoadingMore] = useState(false);
  const [error, setError] = useState<unknown>();
  const connection = data === undefined ? undefined : connectionOf(data);
  const after = connection?.pageInfo.endCursor ?? null;
  const loadMore = useCallback(() => {
    setLoadingMore(true);
    setError(undefined);
    void fetchMore({ variables: { after } })
      .catch(setError)
      .finally(() => {
        setLoadingMore(false);
      });
  }, [fetchMore, after]);
  return {
    items: connection?.edges.map(({ node }) => node) ?? [],
    hasMore: connection?.pageInfo.hasNextPage ?? false,
    isLoadingMore,
    error,
    loadMore,
  };
}
