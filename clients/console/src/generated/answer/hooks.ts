/* eslint-disable */
import { useQuery, type SkipToken } from "@apollo/client/react";
import {
  AnswerPassageDocument,
  type AnswerPassageQuery,
  type AnswerPassageQueryVariables,
  AnswerArtifactDocument,
  type AnswerArtifactQuery,
  type AnswerArtifactQueryVariables,
} from "./graphql.ts";

export const useAnswerPassageQuery = (options: (Omit<useQuery.Options<AnswerPassageQuery, AnswerPassageQueryVariables>, "variables"> & { variables: AnswerPassageQueryVariables }) | SkipToken) =>
  useQuery(AnswerPassageDocument, options as useQuery.Options<AnswerPassageQuery, AnswerPassageQueryVariables>);

export const useAnswerArtifactQuery = (options: (Omit<useQuery.Options<AnswerArtifactQuery, AnswerArtifactQueryVariables>, "variables"> & { variables: AnswerArtifactQueryVariables }) | SkipToken) =>
  useQuery(AnswerArtifactDocument, options as useQuery.Options<AnswerArtifactQuery, AnswerArtifactQueryVariables>);
