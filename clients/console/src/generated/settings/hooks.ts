/* eslint-disable */
import { useQuery, useMutation, type SkipToken } from "@apollo/client/react";
import {
  SettingsMembersDocument,
  type SettingsMembersQuery,
  type SettingsMembersQueryVariables,
  SettingsSetMemberRolesDocument,
  type SettingsSetMemberRolesMutation,
  type SettingsSetMemberRolesMutationVariables,
  SettingsApiKeysDocument,
  type SettingsApiKeysQuery,
  type SettingsApiKeysQueryVariables,
  SettingsPoliciesDocument,
  type SettingsPoliciesQuery,
  type SettingsPoliciesQueryVariables,
  SettingsRemovePolicyDocument,
  type SettingsRemovePolicyMutation,
  type SettingsRemovePolicyMutationVariables,
  SettingsWebhooksDocument,
  type SettingsWebhooksQuery,
  type SettingsWebhooksQueryVariables,
  SettingsCreateWebhookDocument,
  type SettingsCreateWebhookMutation,
  type SettingsCreateWebhookMutationVariables,
  SettingsDeleteWebhookDocument,
  type SettingsDeleteWebhookMutation,
  type SettingsDeleteWebhookMutationVariables,
  SettingsTenantDocument,
  type SettingsTenantQuery,
  type SettingsTenantQueryVariables,
  SettingsSetQuotaPolicyDocument,
  type SettingsSetQuotaPolicyMutation,
  type SettingsSetQuotaPolicyMutationVariables,
} from "./graphql.ts";

export const useSettingsMembersQuery = (options?: useQuery.Options<SettingsMembersQuery, SettingsMembersQueryVariables> | SkipToken) =>
  useQuery(SettingsMembersDocument, options as useQuery.Options<SettingsMembersQuery, SettingsMembersQueryVariables>);

export const useSettingsSetMemberRolesMutation = (options?: useMutation.Options<SettingsSetMemberRolesMutation, SettingsSetMemberRolesMutationVariables>) =>
  useMutation<SettingsSetMemberRolesMutation, SettingsSetMemberRolesMutationVariables>(SettingsSetMemberRolesDocument, options);

export const useSettingsApiKeysQuery = (options?: useQuery.Options<SettingsApiKeysQuery, SettingsApiKeysQueryVariables> | SkipToken) =>
  useQuery(SettingsApiKeysDocument, options as useQuery.Options<SettingsApiKeysQuery, SettingsApiKeysQueryVariables>);

export const useSettingsPoliciesQuery = (options?: useQuery.Options<SettingsPoliciesQuery, SettingsPoliciesQueryVariables> | SkipToken) =>
  useQuery(SettingsPoliciesDocument, options as useQuery.Options<SettingsPoliciesQuery, SettingsPoliciesQueryVariables>);

export const useSettingsRemovePolicyMutation = (options?: useMutation.Options<SettingsRemovePolicyMutation, SettingsRemovePolicyMutationVariables>) =>
  useMutation<SettingsRemovePolicyMutation, SettingsRemovePolicyMutationVariables>(SettingsRemovePolicyDocument, options);

export const useSettingsWebhooksQuery = (options?: useQuery.Options<SettingsWebhooksQuery, SettingsWebhooksQueryVariables> | SkipToken) =>
  useQuery(SettingsWebhooksDocument, options as useQuery.Options<SettingsWebhooksQuery, SettingsWebhooksQueryVariables>);

export const useSettingsCreateWebhookMutation = (options?: useMutation.Options<SettingsCreateWebhookMutation, SettingsCreateWebhookMutationVariables>) =>
  useMutation<SettingsCreateWebhookMutation, SettingsCreateWebhookMutationVariables>(SettingsCreateWebhookDocument, options);

export const useSettingsDeleteWebhookMutation = (options?: useMutation.Options<SettingsDeleteWebhookMutation, SettingsDeleteWebhookMutationVariables>) =>
  useMutation<SettingsDeleteWebhookMutation, SettingsDeleteWebhookMutationVariables>(SettingsDeleteWebhookDocument, options);

export const useSettingsTenantQuery = (options?: useQuery.Options<SettingsTenantQuery, SettingsTenantQueryVariables> | SkipToken) =>
  useQuery(SettingsTenantDocument, options as useQuery.Options<SettingsTenantQuery, SettingsTenantQueryVariables>);

export const useSettingsSetQuotaPolicyMutation = (options?: useMutation.Options<SettingsSetQuotaPolicyMutation, SettingsSetQuotaPolicyMutationVariables>) =>
  useMutation<SettingsSetQuotaPolicyMutation, SettingsSetQuotaPolicyMutationVariables>(SettingsSetQuotaPolicyDocument, options);
