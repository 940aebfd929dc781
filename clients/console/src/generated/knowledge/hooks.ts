/* eslint-disable */
import { useQuery, useMutation, type SkipToken } from "@apollo/client/react";
import {
  KnowledgeCollectionsDocument,
  type KnowledgeCollectionsQuery,
  type KnowledgeCollectionsQueryVariables,
  KnowledgeCollectionDocument,
  type KnowledgeCollectionQuery,
  type KnowledgeCollectionQueryVariables,
  KnowledgeDocumentsDocument,
  type KnowledgeDocumentsQuery,
  type KnowledgeDocumentsQueryVariables,
  KnowledgeDocumentDocument,
  type KnowledgeDocumentQuery,
  type KnowledgeDocumentQueryVariables,
  KnowledgePassagesDocument,
  type KnowledgePassagesQuery,
  type KnowledgePassagesQueryVariables,
  KnowledgeOriginalDocument,
  type KnowledgeOriginalQuery,
  type KnowledgeOriginalQueryVariables,
  KnowledgeSearchDocument,
  type KnowledgeSearchQuery,
  type KnowledgeSearchQueryVariables,
  KnowledgeLimitsDocument,
  type KnowledgeLimitsQuery,
  type KnowledgeLimitsQueryVariables,
  KnowledgeCreateCollectionDocument,
  type KnowledgeCreateCollectionMutation,
  type KnowledgeCreateCollectionMutationVariables,
  KnowledgeDeleteCollectionDocument,
  type KnowledgeDeleteCollectionMutation,
  type KnowledgeDeleteCollectionMutationVariables,
  KnowledgeRemoveDocumentsDocument,
  type KnowledgeRemoveDocumentsMutation,
  type KnowledgeRemoveDocumentsMutationVariables,
  KnowledgeCreateUploadDocument,
  type KnowledgeCreateUploadMutation,
  type KnowledgeCreateUploadMutationVariables,
  KnowledgeAddDocumentsDocument,
  type KnowledgeAddDocumentsMutation,
  type KnowledgeAddDocumentsMutationVariables,
} from "./graphql.ts";

export const useKnowledgeCollectionsQuery = (options?: useQuery.Options<KnowledgeCollectionsQuery, KnowledgeCollectionsQueryVariables> | SkipToken) =>
  useQuery(KnowledgeCollectionsDocument, options as useQuery.Options<KnowledgeCollectionsQuery, KnowledgeCollectionsQueryVariables>);

export const useKnowledgeCollectionQuery = (options: (Omit<useQuery.Options<KnowledgeCollectionQuery, KnowledgeCollectionQueryVariables>, "variables"> & { variables: KnowledgeCollectionQueryVariables }) | SkipToken) =>
  useQuery(KnowledgeCollectionDocument, options as useQuery.Options<KnowledgeCollectionQuery, KnowledgeCollectionQueryVariables>);

export const useKnowledgeDocumentsQuery = (options: (Omit<useQuery.Options<KnowledgeDocumentsQuery, KnowledgeDocumentsQueryVariables>, "variables"> & { variables: KnowledgeDocumentsQueryVariables }) | SkipToken) =>
  useQuery(KnowledgeDocumentsDocument, options as useQuery.Options<KnowledgeDocumentsQuery, KnowledgeDocumentsQueryVariables>);

export const useKnowledgeDocumentQuery = (options: (Omit<useQuery.Options<KnowledgeDocumentQuery, KnowledgeDocumentQueryVariables>, "variables"> & { variables: KnowledgeDocumentQueryVariables }) | SkipToken) =>
  useQuery(KnowledgeDocumentDocument, options as useQuery.Options<KnowledgeDocumentQuery, KnowledgeDocumentQueryVariables>);

export const useKnowledgePassagesQuery = (options: (Omit<useQuery.Options<KnowledgePassagesQuery, KnowledgePassagesQueryVariables>, "variables"> & { variables: KnowledgePassagesQueryVariables }) | SkipToken) =>
  useQuery(KnowledgePassagesDocument, options as useQuery.Options<KnowledgePassagesQuery, KnowledgePassagesQueryVariables>);

export const useKnowledgeOriginalQuery = (options: (Omit<useQuery.Options<KnowledgeOriginalQuery, KnowledgeOriginalQueryVariables>, "variables"> & { variables: KnowledgeOriginalQueryVariables }) | SkipToken) =>
  useQuery(KnowledgeOriginalDocument, options as useQuery.Options<KnowledgeOriginalQuery, KnowledgeOriginalQueryVariables>);

export const useKnowledgeSearchQuery = (options: (Omit<useQuery.Options<KnowledgeSearchQuery, KnowledgeSearchQueryVariables>, "variables"> & { variables: KnowledgeSearchQueryVariables }) | SkipToken) =>
  useQuery(KnowledgeSearchDocument, options as useQuery.Options<KnowledgeSearchQuery, KnowledgeSearchQueryVariables>);

export const useKnowledgeLimitsQuery = (options?: useQuery.Options<KnowledgeLimitsQuery, KnowledgeLimitsQueryVariables> | SkipToken) =>
  useQuery(KnowledgeLimitsDocument, options as useQuery.Options<KnowledgeLimitsQuery, KnowledgeLimitsQueryVariables>);

export const useKnowledgeCreateCollectionMutation = (options?: useMutation.Options<KnowledgeCreateCollectionMutation, KnowledgeCreateCollectionMutationVariables>) =>
  useMutation<KnowledgeCreateCollectionMutation, KnowledgeCreateCollectionMutationVariables>(KnowledgeCreateCollectionDocument, options);

export const useKnowledgeDeleteCollectionMutation = (options?: useMutation.Options<KnowledgeDeleteCollectionMutation, KnowledgeDeleteCollectionMutationVariables>) =>
  useMutation<KnowledgeDeleteCollectionMutation, KnowledgeDeleteCollectionMutationVariables>(KnowledgeDeleteCollectionDocument, options);

export const useKnowledgeRemoveDocumentsMutation = (options?: useMutation.Options<KnowledgeRemoveDocumentsMutation, KnowledgeRemoveDocumentsMutationVariables>) =>
  useMutation<KnowledgeRemoveDocumentsMutation, KnowledgeRemoveDocumentsMutationVariables>(KnowledgeRemoveDocumentsDocument, options);

export const useKnowledgeCreateUploadMutation = (options?: useMutation.Options<KnowledgeCreateUploadMutation, KnowledgeCreateUploadMutationVariables>) =>
  useMutation<KnowledgeCreateUploadMutation, KnowledgeCreateUploadMutationVariables>(KnowledgeCreateUploadDocument, options);

export const useKnowledgeAddDocumentsMutation = (options?: useMutation.Options<KnowledgeAddDocumentsMutation, KnowledgeAddDocumentsMutationVariables>) =>
  useMutation<KnowledgeAddDocumentsMutation, KnowledgeAddDocumentsMutationVariables>(KnowledgeAddDocumentsDocument, options);
