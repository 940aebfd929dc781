/* eslint-disable */
import { useQuery, useMutation, type SkipToken } from "@apollo/client/react";
import {
  WorkflowsListDocument,
  type WorkflowsListQuery,
  type WorkflowsListQueryVariables,
  WorkflowsRunsDocument,
  type WorkflowsRunsQuery,
  type WorkflowsRunsQueryVariables,
  WorkflowsRunDocument,
  type WorkflowsRunQuery,
  type WorkflowsRunQueryVariables,
  WorkflowsStartDocument,
  type WorkflowsStartMutation,
  type WorkflowsStartMutationVariables,
  WorkflowsCancelDocument,
  type WorkflowsCancelMutation,
  type WorkflowsCancelMutationVariables,
} from "./graphql.ts";

export const useWorkflowsListQuery = (options?: useQuery.Options<WorkflowsListQuery, WorkflowsListQueryVariables> | SkipToken) =>
  useQuery(WorkflowsListDocument, options as useQuery.Options<WorkflowsListQuery, WorkflowsListQueryVariables>);

export const useWorkflowsRunsQuery = (options?: useQuery.Options<WorkflowsRunsQuery, WorkflowsRunsQueryVariables> | SkipToken) =>
  useQuery(WorkflowsRunsDocument, options as useQuery.Options<WorkflowsRunsQuery, WorkflowsRunsQueryVariables>);

export const useWorkflowsRunQuery = (options: (Omit<useQuery.Options<WorkflowsRunQuery, WorkflowsRunQueryVariables>, "variables"> & { variables: WorkflowsRunQueryVariables }) | SkipToken) =>
  useQuery(WorkflowsRunDocument, options as useQuery.Options<WorkflowsRunQuery, WorkflowsRunQueryVariables>);

export const useWorkflowsStartMutation = (options?: useMutation.Options<WorkflowsStartMutation, WorkflowsStartMutationVariables>) =>
  useMutation<WorkflowsStartMutation, WorkflowsStartMutationVariables>(WorkflowsStartDocument, options);

export const useWorkflowsCancelMutation = (options?: useMutation.Options<WorkflowsCancelMutation, WorkflowsCancelMutationVariables>) =>
  useMutation<WorkflowsCancelMutation, WorkflowsCancelMutationVariables>(WorkflowsCancelDocument, options);
