import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { MAX_PASSWORD_LENGTH } from "../user/user.ts";
import { refreshSession, signIn, signOut, type SessionTokens } from "./session.ts";

const SessionTokensRef = builder.objectRef<SessionTokens>("SessionTokens").implement({
  description: "What a client keeps of a session.",
  fields: (t) => ({
    accessToken: t.exposeString("accessToken", { description: "To be sent as Authorization: Bearer." }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When the access token ends.",
      resolve: ({ expiresAt }) => expiresAt,
    }),
    refreshToken: t.exposeString("refreshToken", { description: "Good once, for refreshSession." }),
  }),
});

const SignInInput = builder.inputType("SignInInput", {
  fields: (t) => ({
    email: t.string({ required: true, validate: { minLength: 3, maxLength: 320 } }),
    password: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_PASSWORD_LENGTH } }),
    tenantId: t.id({ validate: { maxLength: 64 }, description: "The only or the last used membership by default." }),
  }),
});

// Open to anyone: this is where callers come from. It is throttled for each account.
builder.mutationField("signIn", (t) =>
  t.field({
    type: SessionTokensRef,
    description: "Opens a session by e-mail address and password.",
    args: { input: t.arg({ type: SignInInput, required: true }) },
    resolve: (_root, { input: { email, password, tenantId } }, { requestId }) =>
      signIn({ email, password, tenantId: tenantId ? decodeId("Tenant", tenantId) : undefined }, { requestId }),
  }),
);

const RefreshSessionInput = builder.inputType("RefreshSessionInput", {
  fields: (t) => ({ refreshToken: t.string({ required: true, validate: { maxLength: 200 } }) }),
});

// Open to anyone: the access token has usually expired when this is called; the refresh token is the credential.
builder.mutationField("refreshSession", (t) =>
  t.field({
    type: SessionTokensRef,
    description: "Gives the next tokens of a session for its refresh token, once.",
    args: { input: t.arg({ type: RefreshSessionInput, required: true }) },
    resolve: (_root, { input }, { requestId }) => refreshSession(input.refreshToken, { requestId }),
  }),
);

const SignOutInput = builder.inputType("SignOutInput", {
  fields: (t) => ({ refreshToken: t.string({ required: true, validate: { maxLength: 200 } }) }),
});

// Open to anyone: the refresh token is the credential, and the access token has usually expired.
builder.mutationField("signOut", (t) =>
  t.boolean({
    description: "Ends the session of a refresh token, and its access tokens within a second. True whatever it was.",
    args: { input: t.arg({ type: SignOutInput, required: true }) },
    resolve: async (_root, { input }, { requestId }) => {
      await signOut(input.refreshToken, { requestId });
      return true;
    },
  }),
);
