/* eslint-disable */
import { useQuery, useMutation, useSubscription, type SkipToken } from "@apollo/client/react";
import {
  RunsListDocument,
  type RunsListQuery,
  type RunsListQueryVariables,
  RunsRowEventsDocument,
  type RunsRowEventsSubscription,
  type RunsRowEventsSubscriptionVariables,
  RunsAgentsDocument,
  type RunsAgentsQuery,
  type RunsAgentsQueryVariables,
  RunsDetailDocument,
  type RunsDetailQuery,
  type RunsDetailQueryVariables,
  RunsComparedDocument,
  type RunsComparedQuery,
  type RunsComparedQueryVariables,
  RunsDeadLettersDocument,
  type RunsDeadLettersQuery,
  type RunsDeadLettersQueryVariables,
  RunsUnknownToolCallsDocument,
  type RunsUnknownToolCallsQuery,
  type RunsUnknownToolCallsQueryVariables,
  RunsCancelDocument,
  type RunsCancelMutation,
  type RunsCancelMutationVariables,
  RunsResolveToolCallDocument,
  type RunsResolveToolCallMutation,
  type RunsResolveToolCallMutationVariables,
  RunsForkDocument,
  type RunsForkMutation,
  type RunsForkMutationVariables,
} from "./graphql.ts";

export const useRunsListQuery = (options?: useQuery.Options<RunsListQuery, RunsListQueryVariables> | SkipToken) =>
  useQuery(RunsListDocument, options as useQuery.Options<RunsListQuery, RunsListQueryVariables>);

export const useRunsRowEventsSubscription = (options: Omit<useSubscription.Options<RunsRowEventsSubscription, RunsRowEventsSubscriptionVariables>, "variables"> & { variables: RunsRowEventsSubscriptionVariables }) =>
  useSubscription<RunsRowEventsSubscription, RunsRowEventsSubscriptionVariables>(RunsRowEventsDocument, options as useSubscription.Options<RunsRowEventsSubscription, RunsRowEventsSubscriptionVariables>);

export const useRunsAgentsQuery = (options?: useQuery.Options<RunsAgentsQuery, RunsAgentsQueryVariables> | SkipToken) =>
  useQuery(RunsAgentsDocument, options as useQuery.Options<RunsAgentsQuery, RunsAgentsQueryVariables>);

export const useRunsDetailQuery = (options: (Omit<useQuery.Options<RunsDetailQuery, RunsDetailQueryVariables>, "variables"> & { variables: RunsDetailQueryVariables }) | SkipToken) =>
  useQuery(RunsDetailDocument, options as useQuery.Options<RunsDetailQuery, RunsDetailQueryVariables>);

export const useRunsComparedQuery = (options: (Omit<useQuery.Options<RunsComparedQuery, RunsComparedQueryVariables>, "variables"> & { variables: RunsComparedQueryVariables }) | SkipToken) =>
  useQuery(RunsComparedDocument, options as useQuery.Options<RunsComparedQuery, RunsComparedQueryVariables>);

export const useRunsDeadLettersQuery = (options?: useQuery.Options<RunsDeadLettersQuery, RunsDeadLettersQueryVariables> | SkipToken) =>
  useQuery(RunsDeadLettersDocument, options as useQuery.Options<RunsDeadLettersQuery, RunsDeadLettersQueryVariables>);

export const useRunsUnknownToolCallsQuery = (options?: useQuery.Options<RunsUnknownToolCallsQuery, RunsUnknownToolCallsQueryVariables> | SkipToken) =>
  useQuery(RunsUnknownToolCallsDocument, options as useQuery.Options<RunsUnknownToolCallsQuery, RunsUnknownToolCallsQueryVariables>);

export const useRunsCancelMutation = (options?: useMutation.Options<RunsCancelMutation, RunsCancelMutationVariables>) =>
  useMutation<RunsCancelMutation, RunsCancelMutationVariables>(RunsCancelDocument, options);

export const useRunsResolveToolCallMutation = (options?: useMutation.Options<RunsResolveToolCallMutation, RunsResolveToolCallMutationVariables>) =>
  useMutation<RunsResolveToolCallMutation, RunsResolveToolCallMutationVariables>(RunsResolveToolCallDocument, options);

export const useRunsForkMutation = (options?: useMutation.Options<RunsForkMutation, RunsForkMutationVariables>) =>
  useMutation<RunsForkMutation, RunsForkMutationVariables>(RunsForkDocument, options);
