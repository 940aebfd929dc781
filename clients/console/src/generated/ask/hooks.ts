/* eslint-disable */
import { useQuery, useMutation, type SkipToken } from "@apollo/client/react";
import {
  AskAgentsDocument,
  type AskAgentsQuery,
  type AskAgentsQueryVariables,
  AskRecentDocument,
  type AskRecentQuery,
  type AskRecentQueryVariables,
  AskThreadDocument,
  type AskThreadQuery,
  type AskThreadQueryVariables,
  AskContinueDocument,
  type AskContinueMutation,
  type AskContinueMutationVariables,
  AskSayDocument,
  type AskSayMutation,
  type AskSayMutationVariables,
} from "./graphql.ts";

export const useAskAgentsQuery = (options?: useQuery.Options<AskAgentsQuery, AskAgentsQueryVariables> | SkipToken) =>
  useQuery(AskAgentsDocument, options as useQuery.Options<AskAgentsQuery, AskAgentsQueryVariables>);

export const useAskRecentQuery = (options?: useQuery.Options<AskRecentQuery, AskRecentQueryVariables> | SkipToken) =>
  useQuery(AskRecentDocument, options as useQuery.Options<AskRecentQuery, AskRecentQueryVariables>);

export const useAskThreadQuery = (options: (Omit<useQuery.Options<AskThreadQuery, AskThreadQueryVariables>, "variables"> & { variables: AskThreadQueryVariables }) | SkipToken) =>
  useQuery(AskThreadDocument, options as useQuery.Options<AskThreadQuery, AskThreadQueryVariables>);

export const useAskContinueMutation = (options?: useMutation.Options<AskContinueMutation, AskContinueMutationVariables>) =>
  useMutation<AskContinueMutation, AskContinueMutationVariables>(AskContinueDocument, options);

export const useAskSayMutation = (options?: useMutation.Options<AskSayMutation, AskSayMutationVariables>) =>
  useMutation<AskSayMutation, AskSayMutationVariables>(AskSayDocument, options);
