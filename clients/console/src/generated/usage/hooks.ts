/* eslint-disable */
import { useQuery, useMutation, type SkipToken } from "@apollo/client/react";
import {
  UsageToolsDocument,
  type UsageToolsQuery,
  type UsageToolsQueryVariables,
  UsageRemoveBudgetDocument,
  type UsageRemoveBudgetMutation,
  type UsageRemoveBudgetMutationVariables,
} from "./graphql.ts";

export const useUsageToolsQuery = (options: (Omit<useQuery.Options<UsageToolsQuery, UsageToolsQueryVariables>, "variables"> & { variables: UsageToolsQueryVariables }) | SkipToken) =>
  useQuery(UsageToolsDocument, options as useQuery.Options<UsageToolsQuery, UsageToolsQueryVariables>);

export const useUsageRemoveBudgetMutation = (options?: useMutation.Options<UsageRemoveBudgetMutation, UsageRemoveBudgetMutationVariables>) =>
  useMutation<UsageRemoveBudgetMutation, UsageRemoveBudgetMutationVariables>(UsageRemoveBudgetDocument, options);
