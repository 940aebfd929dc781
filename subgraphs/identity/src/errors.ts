import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("identity", {
  IDENTITY_CREDENTIALS_INVALID: {
    kind: "unauthenticated",
    message: "The e-mail address or the password is not right.",
  },
  IDENTITY_SIGN_IN_THROTTLED: { kind: "rate_limited", message: "Too many attempts to sign in to this account." },
  IDENTITY_SIGN_IN_BUSY: { kind: "unavailable", message: "Too many people are signing in at once: try again." },
  IDENTITY_REFRESH_TOKEN_INVALID: { kind: "unauthenticated", message: "The session has ended: sign in again." },
  IDENTITY_TENANT_INVALID: { kind: "invalid_input", message: "A tenant cannot be made of this." },
  IDENTITY_TENANT_NOT_FOUND: { kind: "not_found", message: "There is no such tenant." },
  IDENTITY_TENANT_SUSPENDED_BY_PLATFORM: {
    kind: "permission_denied",
    message: "The platform has suspended this tenant: only its operators resume it.",
  },
  IDENTITY_TENANT_EXISTS: { kind: "conflict", message: "The tenant exists, with another owner." },
  IDENTITY_ORIGIN_INVALID: {
    kind: "invalid_input",
    message:
      "An origin is written as browsers send it: https://app.example.com, or http://localhost:3000, and no more.",
  },
  IDENTITY_ORIGINS_TOO_MANY: { kind: "invalid_input", message: "A tenant cannot allow so many origins." },
  IDENTITY_USER_INVALID: { kind: "invalid_input", message: "This person cannot be added as given." },
  IDENTITY_USER_NOT_FOUND: { kind: "not_found", message: "There is no such user." },
  IDENTITY_PRINCIPAL_NOT_FOUND: { kind: "not_found", message: "The tenant or whoever asks is no longer known." },
  IDENTITY_MEMBER_NOT_FOUND: { kind: "not_found", message: "There is no such member." },
  IDENTITY_MEMBER_EXISTS: { kind: "conflict", message: "This person is a member already, with other roles." },
  IDENTITY_LAST_OWNER: { kind: "conflict", message: "A tenant keeps at least one owner." },
  IDENTITY_ROLE_UNKNOWN: { kind: "invalid_input", message: "There is no such role." },
  IDENTITY_SESSION_NOT_FOUND: { kind: "not_found", message: "There is no such session." },
  IDENTITY_PERMISSION_NOT_HELD: { kind: "permission_denied", message: "Nobody can grant what they do not hold." },
  IDENTITY_API_KEY_INVALID: { kind: "invalid_input", message: "An API key cannot be made of this." },
  IDENTITY_API_KEY_NOT_FOUND: { kind: "not_found", message: "There is no such API key." },
});
