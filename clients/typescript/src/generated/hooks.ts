/* eslint-disable */
import { useQuery, useMutation, useSubscription, type SkipToken } from "@apollo/client/react";
import {
  MembersDocument,
  type MembersQuery,
  type MembersQueryVariables,
  SetMemberRolesDocument,
  type SetMemberRolesMutation,
  type SetMemberRolesMutationVariables,
  SetMemberStatusDocument,
  type SetMemberStatusMutation,
  type SetMemberStatusMutationVariables,
  RemoveMemberDocument,
  type RemoveMemberMutation,
  type RemoveMemberMutationVariables,
  ApiKeysDocument,
  type ApiKeysQuery,
  type ApiKeysQueryVariables,
  CreateApiKeyDocument,
  type CreateApiKeyMutation,
  type CreateApiKeyMutationVariables,
  RevokeApiKeyDocument,
  type RevokeApiKeyMutation,
  type RevokeApiKeyMutationVariables,
  CreateSessionDocument,
  type CreateSessionMutation,
  type CreateSessionMutationVariables,
  SessionsDocument,
  type SessionsQuery,
  type SessionsQueryVariables,
  EndSessionDocument,
  type EndSessionMutation,
  type EndSessionMutationVariables,
  RefreshSessionDocument,
  type RefreshSessionMutation,
  type RefreshSessionMutationVariables,
  SignOutDocument,
  type SignOutMutation,
  type SignOutMutationVariables,
  SuspendTenantDocument,
  type SuspendTenantMutation,
  type SuspendTenantMutationVariables,
  ResumeTenantDocument,
  type ResumeTenantMutation,
  type ResumeTenantMutationVariables,
  AuditEntriesDocument,
  type AuditEntriesQuery,
  type AuditEntriesQueryVariables,
  CreateAgentDocument,
  type CreateAgentMutation,
  type CreateAgentMutationVariables,
  PublishAgentVersionDocument,
  type PublishAgentVersionMutation,
  type PublishAgentVersionMutationVariables,
  ApprovalsDocument,
  type ApprovalsQuery,
  type ApprovalsQueryVariables,
  DecideApprovalDocument,
  type DecideApprovalMutation,
  type DecideApprovalMutationVariables,
  ApprovalEventsDocument,
  type ApprovalEventsSubscription,
  type ApprovalEventsSubscriptionVariables,
  ToolsDocument,
  type ToolsQuery,
  type ToolsQueryVariables,
  ApprovalLinkDocument,
  type ApprovalLinkQuery,
  type ApprovalLinkQueryVariables,
  ApprovalPoliciesDocument,
  type ApprovalPoliciesQuery,
  type ApprovalPoliciesQueryVariables,
  SetApprovalPolicyDocument,
  type SetApprovalPolicyMutation,
  type SetApprovalPolicyMutationVariables,
  BudgetsDocument,
  type BudgetsQuery,
  type BudgetsQueryVariables,
  SetBudgetDocument,
  type SetBudgetMutation,
  type SetBudgetMutationVariables,
  RunLiveSnapshotDocument,
  type RunLiveSnapshotQuery,
  type RunLiveSnapshotQueryVariables,
  StartRunLiveDocument,
  type StartRunLiveMutation,
  type StartRunLiveMutationVariables,
  RunLiveDocument,
  type RunLiveSubscription,
  type RunLiveSubscriptionVariables,
  ApprovalsLiveSnapshotDocument,
  type ApprovalsLiveSnapshotQuery,
  type ApprovalsLiveSnapshotQueryVariables,
  ApprovalDocument,
  type ApprovalQuery,
  type ApprovalQueryVariables,
  ApprovalsLiveDocument,
  type ApprovalsLiveSubscription,
  type ApprovalsLiveSubscriptionVariables,
  IngestionLiveDocument,
  type IngestionLiveSubscription,
  type IngestionLiveSubscriptionVariables,
  WorkflowRunLiveSnapshotDocument,
  type WorkflowRunLiveSnapshotQuery,
  type WorkflowRunLiveSnapshotQueryVariables,
  WorkflowRunLiveDocument,
  type WorkflowRunLiveSubscription,
  type WorkflowRunLiveSubscriptionVariables,
  UsageAlertsDocument,
  type UsageAlertsSubscription,
  type UsageAlertsSubscriptionVariables,
  SignInDocument,
  type SignInMutation,
  type SignInMutationVariables,
  MeDocument,
  type MeQuery,
  type MeQueryVariables,
  CreateCollectionDocument,
  type CreateCollectionMutation,
  type CreateCollectionMutationVariables,
  AddDocumentsDocument,
  type AddDocumentsMutation,
  type AddDocumentsMutationVariables,
  IngestionEventsDocument,
  type IngestionEventsSubscription,
  type IngestionEventsSubscriptionVariables,
  SearchKnowledgeDocument,
  type SearchKnowledgeQuery,
  type SearchKnowledgeQueryVariables,
  AgentsDocument,
  type AgentsQuery,
  type AgentsQueryVariables,
  StartRunDocument,
  type StartRunMutation,
  type StartRunMutationVariables,
  RunEventsDocument,
  type RunEventsSubscription,
  type RunEventsSubscriptionVariables,
  RunEventLogDocument,
  type RunEventLogQuery,
  type RunEventLogQueryVariables,
  RunDocument,
  type RunQuery,
  type RunQueryVariables,
  RunsDocument,
  type RunsQuery,
  type RunsQueryVariables,
  ContinueRunDocument,
  type ContinueRunMutation,
  type ContinueRunMutationVariables,
  CancelRunDocument,
  type CancelRunMutation,
  type CancelRunMutationVariables,
  UsageDocument,
  type UsageQuery,
  type UsageQueryVariables,
  DeadLettersDocument,
  type DeadLettersQuery,
  type DeadLettersQueryVariables,
  ReplayDeadLetterDocument,
  type ReplayDeadLetterMutation,
  type ReplayDeadLetterMutationVariables,
  PlanRunDocument,
  type PlanRunMutation,
  type PlanRunMutationVariables,
  ExecuteRunDocument,
  type ExecuteRunMutation,
  type ExecuteRunMutationVariables,
  ForkRunDocument,
  type ForkRunMutation,
  type ForkRunMutationVariables,
  PauseRunDocument,
  type PauseRunMutation,
  type PauseRunMutationVariables,
  ResumeRunDocument,
  type ResumeRunMutation,
  type ResumeRunMutationVariables,
  SendRunInputDocument,
  type SendRunInputMutation,
  type SendRunInputMutationVariables,
} from "./graphql.ts";

export const useMembersQuery = (options?: useQuery.Options<MembersQuery, MembersQueryVariables> | SkipToken) =>
  useQuery(MembersDocument, options as useQuery.Options<MembersQuery, MembersQueryVariables>);

export const useSetMemberRolesMutation = (options?: useMutation.Options<SetMemberRolesMutation, SetMemberRolesMutationVariables>) =>
  useMutation<SetMemberRolesMutation, SetMemberRolesMutationVariables>(SetMemberRolesDocument, options);

export const useSetMemberStatusMutation = (options?: useMutation.Options<SetMemberStatusMutation, SetMemberStatusMutationVariables>) =>
  useMutation<SetMemberStatusMutation, SetMemberStatusMutationVariables>(SetMemberStatusDocument, options);

export const useRemoveMemberMutation = (options?: useMutation.Options<RemoveMemberMutation, RemoveMemberMutationVariables>) =>
  useMutation<RemoveMemberMutation, RemoveMemberMutationVariables>(RemoveMemberDocument, options);

export const useApiKeysQuery = (options?: useQuery.Options<ApiKeysQuery, ApiKeysQueryVariables> | SkipToken) =>
  useQuery(ApiKeysDocument, options as useQuery.Options<ApiKeysQuery, ApiKeysQueryVariables>);

export const useCreateApiKeyMutation = (options?: useMutation.Options<CreateApiKeyMutation, CreateApiKeyMutationVariables>) =>
  useMutation<CreateApiKeyMutation, CreateApiKeyMutationVariables>(CreateApiKeyDocument, options);

export const useRevokeApiKeyMutation = (options?: useMutation.Options<RevokeApiKeyMutation, RevokeApiKeyMutationVariables>) =>
  useMutation<RevokeApiKeyMutation, RevokeApiKeyMutationVariables>(RevokeApiKeyDocument, options);

export const useCreateSessionMutation = (options?: useMutation.Options<CreateSessionMutation, CreateSessionMutationVariables>) =>
  useMutation<CreateSessionMutation, CreateSessionMutationVariables>(CreateSessionDocument, options);

export const useSessionsQuery = (options?: useQuery.Options<SessionsQuery, SessionsQueryVariables> | SkipToken) =>
  useQuery(SessionsDocument, options as useQuery.Options<SessionsQuery, SessionsQueryVariables>);

export const useEndSessionMutation = (options?: useMutation.Options<EndSessionMutation, EndSessionMutationVariables>) =>
  useMutation<EndSessionMutation, EndSessionMutationVariables>(EndSessionDocument, options);

export const useRefreshSessionMutation = (options?: useMutation.Options<RefreshSessionMutation, RefreshSessionMutationVariables>) =>
  useMutation<RefreshSessionMutation, RefreshSessionMutationVariables>(RefreshSessionDocument, options);

export const useSignOutMutation = (options?: useMutation.Options<SignOutMutation, SignOutMutationVariables>) =>
  useMutation<SignOutMutation, SignOutMutationVariables>(SignOutDocument, options);

export const useSuspendTenantMutation = (options?: useMutation.Options<SuspendTenantMutation, SuspendTenantMutationVariables>) =>
  useMutation<SuspendTenantMutation, SuspendTenantMutationVariables>(SuspendTenantDocument, options);

export const useResumeTenantMutation = (options?: useMutation.Options<ResumeTenantMutation, ResumeTenantMutationVariables>) =>
  useMutation<ResumeTenantMutation, ResumeTenantMutationVariables>(ResumeTenantDocument, options);

export const useAuditEntriesQuery = (options?: useQuery.Options<AuditEntriesQuery, AuditEntriesQueryVariables> | SkipToken) =>
  useQuery(AuditEntriesDocument, options as useQuery.Options<AuditEntriesQuery, AuditEntriesQueryVariables>);

export const useCreateAgentMutation = (options?: useMutation.Options<CreateAgentMutation, CreateAgentMutationVariables>) =>
  useMutation<CreateAgentMutation, CreateAgentMutationVariables>(CreateAgentDocument, options);

export const usePublishAgentVersionMutation = (options?: useMutation.Options<PublishAgentVersionMutation, PublishAgentVersionMutationVariables>) =>
  useMutation<PublishAgentVersionMutation, PublishAgentVersionMutationVariables>(PublishAgentVersionDocument, options);

export const useApprovalsQuery = (options?: useQuery.Options<ApprovalsQuery, ApprovalsQueryVariables> | SkipToken) =>
  useQuery(ApprovalsDocument, options as useQuery.Options<ApprovalsQuery, ApprovalsQueryVariables>);

export const useDecideApprovalMutation = (options?: useMutation.Options<DecideApprovalMutation, DecideApprovalMutationVariables>) =>
  useMutation<DecideApprovalMutation, DecideApprovalMutationVariables>(DecideApprovalDocument, options);

export const useApprovalEventsSubscription = (options?: Omit<useSubscription.Options<ApprovalEventsSubscription, ApprovalEventsSubscriptionVariables>, "variables"> & { variables?: ApprovalEventsSubscriptionVariables }) =>
  useSubscription<ApprovalEventsSubscription, ApprovalEventsSubscriptionVariables>(ApprovalEventsDocument, options as useSubscription.Options<ApprovalEventsSubscription, ApprovalEventsSubscriptionVariables>);

export const useToolsQuery = (options?: useQuery.Options<ToolsQuery, ToolsQueryVariables> | SkipToken) =>
  useQuery(ToolsDocument, options as useQuery.Options<ToolsQuery, ToolsQueryVariables>);

export const useApprovalLinkQuery = (options: (Omit<useQuery.Options<ApprovalLinkQuery, ApprovalLinkQueryVariables>, "variables"> & { variables: ApprovalLinkQueryVariables }) | SkipToken) =>
  useQuery(ApprovalLinkDocument, options as useQuery.Options<ApprovalLinkQuery, ApprovalLinkQueryVariables>);

export const useApprovalPoliciesQuery = (options?: useQuery.Options<ApprovalPoliciesQuery, ApprovalPoliciesQueryVariables> | SkipToken) =>
  useQuery(ApprovalPoliciesDocument, options as useQuery.Options<ApprovalPoliciesQuery, ApprovalPoliciesQueryVariables>);

export const useSetApprovalPolicyMutation = (options?: useMutation.Options<SetApprovalPolicyMutation, SetApprovalPolicyMutationVariables>) =>
  useMutation<SetApprovalPolicyMutation, SetApprovalPolicyMutationVariables>(SetApprovalPolicyDocument, options);

export const useBudgetsQuery = (options?: useQuery.Options<BudgetsQuery, BudgetsQueryVariables> | SkipToken) =>
  useQuery(BudgetsDocument, options as useQuery.Options<BudgetsQuery, BudgetsQueryVariables>);

export const useSetBudgetMutation = (options?: useMutation.Options<SetBudgetMutation, SetBudgetMutationVariables>) =>
  useMutation<SetBudgetMutation, SetBudgetMutationVariables>(SetBudgetDocument, options);

export const useRunLiveSnapshotQuery = (options: (Omit<useQuery.Options<RunLiveSnapshotQuery, RunLiveSnapshotQueryVariables>, "variables"> & { variables: RunLiveSnapshotQueryVariables }) | SkipToken) =>
  useQuery(RunLiveSnapshotDocument, options as useQuery.Options<RunLiveSnapshotQuery, RunLiveSnapshotQueryVariables>);

export const useStartRunLiveMutation = (options?: useMutation.Options<StartRunLiveMutation, StartRunLiveMutationVariables>) =>
  useMutation<StartRunLiveMutation, StartRunLiveMutationVariables>(StartRunLiveDocument, options);

export const useRunLiveSubscription = (options: Omit<useSubscription.Options<RunLiveSubscription, RunLiveSubscriptionVariables>, "variables"> & { variables: RunLiveSubscriptionVariables }) =>
  useSubscription<RunLiveSubscription, RunLiveSubscriptionVariables>(RunLiveDocument, options as useSubscription.Options<RunLiveSubscription, RunLiveSubscriptionVariables>);

export const useApprovalsLiveSnapshotQuery = (options?: useQuery.Options<ApprovalsLiveSnapshotQuery, ApprovalsLiveSnapshotQueryVariables> | SkipToken) =>
  useQuery(ApprovalsLiveSnapshotDocument, options as useQuery.Options<ApprovalsLiveSnapshotQuery, ApprovalsLiveSnapshotQueryVariables>);

export const useApprovalQuery = (options: (Omit<useQuery.Options<ApprovalQuery, ApprovalQueryVariables>, "variables"> & { variables: ApprovalQueryVariables }) | SkipToken) =>
  useQuery(ApprovalDocument, options as useQuery.Options<ApprovalQuery, ApprovalQueryVariables>);

export const useApprovalsLiveSubscription = (options?: Omit<useSubscription.Options<ApprovalsLiveSubscription, ApprovalsLiveSubscriptionVariables>, "variables"> & { variables?: ApprovalsLiveSubscriptionVariables }) =>
  useSubscription<ApprovalsLiveSubscription, ApprovalsLiveSubscriptionVariables>(ApprovalsLiveDocument, options as useSubscription.Options<ApprovalsLiveSubscription, ApprovalsLiveSubscriptionVariables>);

export const useIngestionLiveSubscription = (options: Omit<useSubscription.Options<IngestionLiveSubscription, IngestionLiveSubscriptionVariables>, "variables"> & { variables: IngestionLiveSubscriptionVariables }) =>
  useSubscription<IngestionLiveSubscription, IngestionLiveSubscriptionVariables>(IngestionLiveDocument, options as useSubscription.Options<IngestionLiveSubscription, IngestionLiveSubscriptionVariables>);

export const useWorkflowRunLiveSnapshotQuery = (options: (Omit<useQuery.Options<WorkflowRunLiveSnapshotQuery, WorkflowRunLiveSnapshotQueryVariables>, "variables"> & { variables: WorkflowRunLiveSnapshotQueryVariables }) | SkipToken) =>
  useQuery(WorkflowRunLiveSnapshotDocument, options as useQuery.Options<WorkflowRunLiveSnapshotQuery, WorkflowRunLiveSnapshotQueryVariables>);

export const useWorkflowRunLiveSubscription = (options: Omit<useSubscription.Options<WorkflowRunLiveSubscription, WorkflowRunLiveSubscriptionVariables>, "variables"> & { variables: WorkflowRunLiveSubscriptionVariables }) =>
  useSubscription<WorkflowRunLiveSubscription, WorkflowRunLiveSubscriptionVariables>(WorkflowRunLiveDocument, options as useSubscription.Options<WorkflowRunLiveSubscription, WorkflowRunLiveSubscriptionVariables>);

export const useUsageAlertsSubscription = (options?: Omit<useSubscription.Options<UsageAlertsSubscription, UsageAlertsSubscriptionVariables>, "variables"> & { variables?: UsageAlertsSubscriptionVariables }) =>
  useSubscription<UsageAlertsSubscription, UsageAlertsSubscriptionVariables>(UsageAlertsDocument, options as useSubscription.Options<UsageAlertsSubscription, UsageAlertsSubscriptionVariables>);

export const useSignInMutation = (options?: useMutation.Options<SignInMutation, SignInMutationVariables>) =>
  useMutation<SignInMutation, SignInMutationVariables>(SignInDocument, options);

export const useMeQuery = (options?: useQuery.Options<MeQuery, MeQueryVariables> | SkipToken) =>
  useQuery(MeDocument, options as useQuery.Options<MeQuery, MeQueryVariables>);

export const useCreateCollectionMutation = (options?: useMutation.Options<CreateCollectionMutation, CreateCollectionMutationVariables>) =>
  useMutation<CreateCollectionMutation, CreateCollectionMutationVariables>(CreateCollectionDocument, options);

export const useAddDocumentsMutation = (options?: useMutation.Options<AddDocumentsMutation, AddDocumentsMutationVariables>) =>
  useMutation<AddDocumentsMutation, AddDocumentsMutationVariables>(AddDocumentsDocument, options);

export const useIngestionEventsSubscription = (options: Omit<useSubscription.Options<IngestionEventsSubscription, IngestionEventsSubscriptionVariables>, "variables"> & { variables: IngestionEventsSubscriptionVariables }) =>
  useSubscription<IngestionEventsSubscription, IngestionEventsSubscriptionVariables>(IngestionEventsDocument, options as useSubscription.Options<IngestionEventsSubscription, IngestionEventsSubscriptionVariables>);

export const useSearchKnowledgeQuery = (options: (Omit<useQuery.Options<SearchKnowledgeQuery, SearchKnowledgeQueryVariables>, "variables"> & { variables: SearchKnowledgeQueryVariables }) | SkipToken) =>
  useQuery(SearchKnowledgeDocument, options as useQuery.Options<SearchKnowledgeQuery, SearchKnowledgeQueryVariables>);

export const useAgentsQuery = (options?: useQuery.Options<AgentsQuery, AgentsQueryVariables> | SkipToken) =>
  useQuery(AgentsDocument, options as useQuery.Options<AgentsQuery, AgentsQueryVariables>);

export const useStartRunMutation = (options?: useMutation.Options<StartRunMutation, StartRunMutationVariables>) =>
  useMutation<StartRunMutation, StartRunMutationVariables>(StartRunDocument, options);

export const useRunEventsSubscription = (options: Omit<useSubscription.Options<RunEventsSubscription, RunEventsSubscriptionVariables>, "variables"> & { variables: RunEventsSubscriptionVariables }) =>
  useSubscription<RunEventsSubscription, RunEventsSubscriptionVariables>(RunEventsDocument, options as useSubscription.Options<RunEventsSubscription, RunEventsSubscriptionVariables>);

export const useRunEventLogQuery = (options: (Omit<useQuery.Options<RunEventLogQuery, RunEventLogQueryVariables>, "variables"> & { variables: RunEventLogQueryVariables }) | SkipToken) =>
  useQuery(RunEventLogDocument, options as useQuery.Options<RunEventLogQuery, RunEventLogQueryVariables>);

export const useRunQuery = (options: (Omit<useQuery.Options<RunQuery, RunQueryVariables>, "variables"> & { variables: RunQueryVariables }) | SkipToken) =>
  useQuery(RunDocument, options as useQuery.Options<RunQuery, RunQueryVariables>);

export const useRunsQuery = (options?: useQuery.Options<RunsQuery, RunsQueryVariables> | SkipToken) =>
  useQuery(RunsDocument, options as useQuery.Options<RunsQuery, RunsQueryVariables>);

export const useContinueRunMutation = (options?: useMutation.Options<ContinueRunMutation, ContinueRunMutationVariables>) =>
  useMutation<ContinueRunMutation, ContinueRunMutationVariables>(ContinueRunDocument, options);

export const useCancelRunMutation = (options?: useMutation.Options<CancelRunMutation, CancelRunMutationVariables>) =>
  useMutation<CancelRunMutation, CancelRunMutationVariables>(CancelRunDocument, options);

export const useUsageQuery = (options: (Omit<useQuery.Options<UsageQuery, UsageQueryVariables>, "variables"> & { variables: UsageQueryVariables }) | SkipToken) =>
  useQuery(UsageDocument, options as useQuery.Options<UsageQuery, UsageQueryVariables>);

export const useDeadLettersQuery = (options?: useQuery.Options<DeadLettersQuery, DeadLettersQueryVariables> | SkipToken) =>
  useQuery(DeadLettersDocument, options as useQuery.Options<DeadLettersQuery, DeadLettersQueryVariables>);

export const useReplayDeadLetterMutation = (options?: useMutation.Options<ReplayDeadLetterMutation, ReplayDeadLetterMutationVariables>) =>
  useMutation<ReplayDeadLetterMutation, ReplayDeadLetterMutationVariables>(ReplayDeadLetterDocument, options);

export const usePlanRunMutation = (options?: useMutation.Options<PlanRunMutation, PlanRunMutationVariables>) =>
  useMutation<PlanRunMutation, PlanRunMutationVariables>(PlanRunDocument, options);

export const useExecuteRunMutation = (options?: useMutation.Options<ExecuteRunMutation, ExecuteRunMutationVariables>) =>
  useMutation<ExecuteRunMutation, ExecuteRunMutationVariables>(ExecuteRunDocument, options);

export const useForkRunMutation = (options?: useMutation.Options<ForkRunMutation, ForkRunMutationVariables>) =>
  useMutation<ForkRunMutation, ForkRunMutationVariables>(ForkRunDocument, options);

export const usePauseRunMutation = (options?: useMutation.Options<PauseRunMutation, PauseRunMutationVariables>) =>
  useMutation<PauseRunMutation, PauseRunMutationVariables>(PauseRunDocument, options);

export const useResumeRunMutation = (options?: useMutation.Options<ResumeRunMutation, ResumeRunMutationVariables>) =>
  useMutation<ResumeRunMutation, ResumeRunMutationVariables>(ResumeRunDocument, options);

export const useSendRunInputMutation = (options?: useMutation.Options<SendRunInputMutation, SendRunInputMutationVariables>) =>
  useMutation<SendRunInputMutation, SendRunInputMutationVariables>(SendRunInputDocument, options);
