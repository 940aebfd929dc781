/* eslint-disable */
import { useQuery, type SkipToken } from "@apollo/client/react";
import {
  ShellMeDocument,
  type ShellMeQuery,
  type ShellMeQueryVariables,
} from "./graphql.ts";

export const useShellMeQuery = (options?: useQuery.Options<ShellMeQuery, ShellMeQueryVariables> | SkipToken) =>
  useQuery(ShellMeDocument, options as useQuery.Options<ShellMeQuery, ShellMeQueryVariables>);
