export {
  createApiKey,
  findApiKeys,
  revokeApiKey,
  verifyApiKey,
  type ApiKeyInfo,
  type ApiKeyInput,
  type CreatedApiKey,
} from "./api-key/api-key.ts";
export { findAuditEntries } from "./audit/audit.ts";
export {
  addMember,
  findMembers,
  readMemberRoles,
  readRolesOfMembers,
  removeMember,
  setMemberRoles,
  setMemberStatus,
  type MemberInput,
  type MemberStatus,
} from "./membership/membership.ts";
export { findGrants, findPrincipals, type Grants, type Principal } from "./principal/principal.ts";
export { repeatRevocation } from "./principal/revocation.ts";
export { findRole, ROLES, type Role, type RoleKey } from "./role/role.ts";
export { createSession, findOwnSessions, type SessionInfo } from "./session/socket-session.ts";
export { issueAccessToken, type AccessToken, type AccessTokenInput } from "./signing-key/access-token.ts";
export { rotateSigningKey } from "./signing-key/signing-key.ts";
export { resumeTenant, suspendTenant } from "./tenant/suspend.ts";
export { provisionTenant, type ProvisionedTenant, type TenantInput } from "./tenant/tenant.ts";
export { createUser, type UserInput } from "./user/user.ts";
