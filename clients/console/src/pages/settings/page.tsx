import { Grid, NativeSelect, NavLink, Stack } from "@mantine/core";
import type { ComponentType } from "react";
import { Link, useLocation, useRoute } from "wouter";
import { useMessages } from "../../i18n/messages.ts";
import {
  IconBan,
  IconDeviceLaptop,
  IconHistory,
  IconKey,
  IconShieldCheck,
  IconUsers,
  IconWebhook,
} from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { useMe, type Permission } from "../../session/permission.tsx";
import { ApiKeys } from "./api-keys.tsx";
import { Audit } from "./audit.tsx";
import { Limits } from "./limits.tsx";
import { Members } from "./members.tsx";
import { messages } from "./messages.ts";
import { Policies } from "./policies.tsx";
import { Sessions } from "./sessions.tsx";
import { Webhooks } from "./webhooks.tsx";

interface Part {
  readonly key: "members" | "sessions" | "keys" | "policies" | "limits" | "webhooks" | "audit";
  readonly Icon: ComponentType<{ readonly size?: number; readonly stroke?: number }>;
  /** Without one of these the part is not there; of one's own sessions nobody needs any. */
  readonly needs?: readonly Permission[];
  readonly Content: ComponentType;
}

// prettier-ignore
const PARTS: readonly Part[] = [
  { key: "members", Icon: IconUsers, needs: ["member:read"], Content: Members },
  { key: "sessions", Icon: IconDeviceLaptop, Content: Sessions },
  { key: "keys", Icon: IconKey, needs: ["apikey:manage"], Content: ApiKeys },
  { key: "policies", Icon: IconShieldCheck, needs: ["approval:read"], Content: Policies },
  { key: "limits", Icon: IconBan, needs: ["usage:read", "tenant:manage"], Content: Limits },
  { key: "webhooks", Icon: IconWebhook, needs: ["integration:read"], Content: Webhooks },
  { key: "audit", Icon: IconHistory, needs: ["audit:read"], Content: Audit },
];

/** Who may do what in the company, and under which rules: /settings/members, /settings/keys... */
export default function SettingsPage() {
  const t = useMessages(messages);
  const { permissions } = useMe();
  const [, params] = useRoute("/settings/:part");
  const [, navigate] = useLocation();
  const allowed = PARTS.filter(({ needs }) => needs?.some((each) => permissions.includes(each)) ?? true);
  const part = allowed.find(({ key }) => key === params?.part) ?? allowed[0];
  return (
    <Page title={t.title} description={t.description}>
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, md: 3, lg: 2.5 }}>
          <NativeSelect
            hiddenFrom="md"
            aria-label={t.parts}
            value={part?.key ?? ""}
            data={allowed.map(({ key }) => ({ value: key, label: t[key] }))}
            onChange={({ currentTarget }) => {
              navigate(`/settings/${currentTarget.value}`);
            }}
          />
          <Stack component="nav" gap={2} visibleFrom="md" aria-label={t.parts}>
            {allowed.map(({ key, Icon }) => (
              <NavLink
                key={key}
                component={Link}
                href={`/settings/${key}`}
                label={t[key]}
                leftSection={<Icon size={18} stroke={1.6} />}
                active={key === part?.key}
                aria-current={key === part?.key ? "page" : undefined}
                style={{ borderRadius: "var(--mantine-radius-md)" }}
              />
            ))}
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 9, lg: 9.5 }}>{part && <part.Content />}</Grid.Col>
      </Grid>
    </Page>
  );
}
