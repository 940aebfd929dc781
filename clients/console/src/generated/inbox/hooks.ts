/* eslint-disable */
import { useQuery, type SkipToken } from "@apollo/client/react";
import {
  InboxEndedDocument,
  type InboxEndedQuery,
  type InboxEndedQueryVariables,
} from "./graphql.ts";

export const useInboxEndedQuery = (options: (Omit<useQuery.Options<InboxEndedQuery, InboxEndedQueryVariables>, "variables"> & { variables: InboxEndedQueryVariables }) | SkipToken) =>
  useQuery(InboxEndedDocument, options as useQuery.Options<InboxEndedQuery, InboxEndedQueryVariables>);
