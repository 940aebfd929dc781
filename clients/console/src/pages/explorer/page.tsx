import {
  Badge,
  Paper,
  ScrollArea,
  Stack,
  Text,
  TextInput,
  Title,
  UnstyledButton,
  useComputedColorScheme,
} from "@mantine/core";
import { useClient } from "@sba/client/react";
import { useEffect, useMemo, useRef, useState } from "react";
import { SCOPES } from "../../generated/scopes.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconSearch } from "../../parts/icons.ts";
import { Page } from "../../parts/page.tsx";
import { useMe } from "../../session/permission.tsx";
import classes from "./explorer.module.css";
import { openHost, type Host } from "./host.ts";
import { messages } from "./messages.ts";
import { SAVED } from "./saved.ts";

const FRAME = "/graphiql/hosted";
const FIRST = "{\n  me {\n    displayName\n    tenant {\n      name\n    }\n    permissions\n  }\n}\n";

export default function ExplorerPage() {
  const t = useMessages(messages);
  const client = useClient();
  const scheme = useComputedColorScheme("light");
  const frame = useRef<HTMLIFrameElement>(null);
  const host = useRef<Host>(undefined);
  useEffect(() => {
    host.current?.show({ forcedTheme: scheme });
  }, [scheme]);
  useEffect(
    () => () => {
      host.current?.close();
    },
    [client],
  );
  const open = (): void => {
    const target = frame.current?.contentWindow;
    host.current?.close();
    if (target) host.current = openHost(client, target, { forcedTheme: scheme, query: FIRST });
  };
  return (
    <Page title={t.title} description={t.description}>
      <div className={classes["halves"]}>
        <Saved
          onOpen={(text) => {
            host.current?.show({ query: text });
          }}
        />
        <Paper withBorder radius="lg" className={classes["frame"]}>
          <iframe ref={frame} src={FRAME} title={t.frame} onLoad={open} />
        </Paper>
      </div>
    </Page>
  );
}

function Saved({ onOpen }: { readonly onOpen: (text: string) => void }) {
  const t = useMessages(messages);
  const [search, setSearch] = useState("");
  const { permissions } = useMe();
  const allowed = useMemo(() => SAVED.filter(({ name }) => isAllowed(name, permissions)), [permissions]);
  const found = allowed.filter(({ name }) => name.toLowerCase().includes(search.trim().toLowerCase()));
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label={t.saved} className={classes["saved"]}>
      <Stack gap="sm" h="100%">
        <Title order={2} size="h5">
          {t.saved}
        </Title>
        <TextInput
          aria-label={t.search}
          placeholder={t.search}
          leftSection={<IconSearch size={16} />}
          value={search}
          onChange={({ currentTarget }) => {
            setSearch(currentTarget.value);
          }}
        />
        <ScrollArea flex={1} type="auto" offsetScrollbars>
          {found.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.none}
            </Text>
          )}
          <ul className={classes["list"]} data-operations>
            {found.map(({ name, type, text }) => (
              <li key={name}>
                <UnstyledButton
                  className={classes["operation"]}
                  onClick={() => {
                    onOpen(text);
                  }}
                >
                  <Text span size="sm" className={classes["name"]}>
                    {name}
                  </Text>
                  <Badge size="xs" variant="dot" color={COLOURS[type]} tt="none">
                    {t[type]}
                  </Badge>
                </UnstyledButton>
              </li>
            ))}
          </ul>
        </ScrollArea>
        {allowed.length < SAVED.length && (
          <Text size="xs" c="dimmed">
            {t.refused(SAVED.length - allowed.length)}
          </Text>
        )}
      </Stack>
    </Paper>
  );
}

/** What the API would refuse is not offered here either. */
function isAllowed(operation: string, permissions: readonly string[]): boolean {
  return (SCOPES[operation] ?? []).every((scope) => permissions.includes(scope));
}

const COLOURS = { query: "brand", mutation: "orange", subscription: "teal" } as const;
