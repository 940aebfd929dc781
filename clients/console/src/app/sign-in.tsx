import { Alert, Button, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { RateLimitedError, toApiError, UnauthenticatedError } from "@sba/client";
import { useActionState, useEffect } from "react";
import { useMessages } from "../i18n/messages.ts";
import { ErrorNotice } from "../parts/error-notice.tsx";
import { session, useSession } from "../session/use-session.ts";
import { Brand } from "./brand.tsx";
import { messages } from "./messages.ts";
import { Preferences } from "./preferences.tsx";
import classes from "./sign-in.module.css";

/** Shown in place of any page while nobody is signed in: afterwards it is that page. */
export default function SignIn() {
  const t = useMessages(messages);
  const { wasEnded } = useSession();
  useEffect(() => {
    document.title = `${t.signInTitle} · SBA Agentic`;
  }, [t]);
  return (
    <main className={classes["screen"]}>
      <Stack gap="xl" maw={420} w="100%">
        <Brand />
        <Paper withBorder radius="lg" p="xl" shadow="sm">
          <Stack gap="lg">
            <div>
              <Title order={1} size="h3">
                {t.signInTitle}
              </Title>
              <Text c="dimmed" size="sm" mt={4}>
                {t.signInText}
              </Text>
            </div>
            {wasEnded && (
              <Alert color="yellow" variant="light" role="status">
                {t.ended}
              </Alert>
            )}
            <SignInForm />
          </Stack>
        </Paper>
        {document.documentElement.dataset["mode"] === "development" && (
          <Alert variant="default" title={t.developmentTitle}>
            {t.developmentText}
          </Alert>
        )}
        <Preferences />
      </Stack>
    </main>
  );
}

function SignInForm() {
  const t = useMessages(messages);
  const [error, submit, isPending] = useActionState(async (_before: unknown, form: FormData) => {
    try {
      await session.signIn(textOf(form, "email"), textOf(form, "password"));
      return undefined;
    } catch (thrown) {
      return thrown;
    }
  }, undefined);
  const apiError = error === undefined ? undefined : toApiError(error);
  const isWrong = apiError instanceof UnauthenticatedError;
  const isThrottled = apiError instanceof RateLimitedError;
  return (
    <form action={submit}>
      <Stack gap="md">
        <TextInput
          name="email"
          type="email"
          label={t.email}
          autoComplete="username"
          required
          withAsterisk={false}
          autoFocus
        />
        <PasswordInput
          name="password"
          label={t.password}
          autoComplete="current-password"
          required
          withAsterisk={false}
          error={isWrong ? t.wrong : isThrottled ? t.throttled : undefined}
        />
        {apiError && !isWrong && !isThrottled && <ErrorNotice error={apiError} />}
        <Button type="submit" loading={isPending} fullWidth>
          {t.signIn}
        </Button>
      </Stack>
    </form>
  );
}

function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}
