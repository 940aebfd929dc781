export {
  createApiKey,
  revokeApiKey,
  verifyApiKey,
  type ApiKeyInfo,
  type ApiKeyInput,
  type CreatedApiKey,
} from "./api-key/api-key.ts";
export {
  addMember,
  readMemberRoles,
  removeMember,
  setMemberRoles,
  setMemberStatus,
  type MemberInput,
  type MemberStatus,
} from "./membership/membership.ts";
export { findGrants, findPrincipals, type Grants, type Principal } from "./principal/principal.ts";
export { findRole, ROLES, type Role, type RoleKey } from "./role/role.ts";
export { issueAccessToken, type AccessToken, type AccessTokenInput } from "./signing-key/access-token.ts";
export { rotateSigningKey } from "./signing-key/signing-key.ts";
export { provisionTenant, type ProvisionedTenant, type TenantInput } from "./tenant/tenant.ts";
export { createUser, type UserInput } from "./user/user.ts";
