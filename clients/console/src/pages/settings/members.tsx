import { Avatar, Badge, Button, Checkbox, Group, Menu, Modal, Stack, Table, Text, ActionIcon } from "@mantine/core";
import { useRemoveMemberMutation, useSetMemberStatusMutation } from "@sba/client/react";
import { useState } from "react";
import { usePages } from "../../data/use-pages.ts";
import type { SettingsMembersQuery } from "../../generated/settings/graphql.ts";
import { useSettingsMembersQuery, useSettingsSetMemberRolesMutation } from "../../generated/settings/hooks.ts";
import { useFormat } from "../../i18n/format.ts";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { ErrorNotice, useNotify } from "../../parts/error-notice.tsx";
import { IconDotsVertical } from "../../parts/icons.ts";
import { LoadMore } from "../../parts/load-more.tsx";
import { messages as parts } from "../../parts/messages.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { useMe, usePermission } from "../../session/permission.tsx";
import { messages, roleName } from "./messages.ts";
import { useGrantableRoles } from "./roles.ts";

type Member = SettingsMembersQuery["members"]["edges"][number]["node"];
interface Doing {
  readonly what: "roles" | "suspend" | "remove";
  readonly member: Member;
}

const REFETCH = { refetchQueries: ["SettingsMembers"], awaitRefetchQueries: true };

export function Members() {
  const t = useMessages(messages);
  const result = useSettingsMembersQuery({ fetchPolicy: "cache-and-network" });
  const pages = usePages(result, ({ members }) => members);
  const mayManage = usePermission("member:manage");
  const [doing, setDoing] = useState<Doing>();
  const close = () => {
    setDoing(undefined);
  };
  return (
    <Section title={t.members} description={t.membersText}>
      <QueryState data={result.data} error={result.error} onRetry={() => void result.refetch()}>
        {() => (
          <DataTable
            label={t.members}
            minWidth={520}
            columns={[
              { label: t.person },
              { label: t.roles },
              { label: t.joined },
              ...(mayManage ? [{ label: t.actions, actions: "corner" as const }] : []),
            ]}
          >
            {pages.items.map((member) => (
              <MemberRow key={member.id} member={member} onDo={setDoing} />
            ))}
          </DataTable>
        )}
      </QueryState>
      <LoadMore pages={pages} />
      {doing?.what === "roles" && <RolesDialog member={doing.member} onClose={close} />}
      {doing?.what === "suspend" && <Suspension member={doing.member} onClose={close} />}
      {doing?.what === "remove" && <Removal member={doing.member} onClose={close} />}
    </Section>
  );
}

/** Nobody changes who holds more than they do. */
function useMayManage(member: Member): boolean {
  const { permissions } = useMe();
  const mayManage = usePermission("member:manage");
  return mayManage && member.roles.every((role) => role.permissions.every((each) => permissions.includes(each)));
}

function nameOf({ principal, email }: Member): string {
  return principal?.displayName ?? email ?? "";
}

function MemberRow({ member, onDo }: { readonly member: Member; readonly onDo: (doing: Doing) => void }) {
  const t = useMessages(messages);
  const format = useFormat();
  const me = useMe();
  const mayManageAny = usePermission("member:manage");
  const mayManage = useMayManage(member);
  const name = nameOf(member);
  return (
    <Table.Tr>
      <Table.Td>
        <Group gap="sm" wrap="nowrap">
          <Avatar name={name} color="brand" radius="xl" size={32} aria-hidden />
          <div style={{ minWidth: 0, overflowWrap: "anywhere" }}>
            <Text size="sm" fw={500}>
              {name} {member.principal?.id === me.id && `(${t.you})`}
            </Text>
            {member.email !== null && (
              <Text size="xs" c="dimmed">
                {member.email}
              </Text>
            )}
          </div>
        </Group>
      </Table.Td>
      <Table.Td>
        <Group gap={6}>
          {member.roles.map(({ key }) => (
            <Badge key={key} variant="light" tt="none">
              {roleName(key, t)}
            </Badge>
          ))}
          {member.roles.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.noRole}
            </Text>
          )}
          {member.status === "SUSPENDED" && (
            <Badge variant="light" color="yellow" tt="none">
              {t.suspended}
            </Badge>
          )}
        </Group>
      </Table.Td>
      <Table.Td>{format.date(member.joinedAt)}</Table.Td>
      {mayManageAny && <Table.Td ta="right">{mayManage && <MemberMenu member={member} onDo={onDo} />}</Table.Td>}
    </Table.Tr>
  );
}

function MemberMenu({ member, onDo }: { readonly member: Member; readonly onDo: (doing: Doing) => void }) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [setStatus] = useSetMemberStatusMutation(REFETCH);
  const letIn = async (): Promise<void> => {
    try {
      await setStatus({ variables: { memberId: member.id, status: "ACTIVE" } });
      notify.success(t.letInDone(nameOf(member)));
    } catch (error) {
      notify.error(error);
    }
  };
  const item = (what: Doing["what"], label: string, color?: string) => (
    <Menu.Item
      {...(color === undefined ? {} : { color })}
      onClick={() => {
        onDo({ what, member });
      }}
    >
      {label}
    </Menu.Item>
  );
  return (
    <Menu position="bottom-end" shadow="md">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t.actionsFor(nameOf(member))}>
          <IconDotsVertical size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {item("roles", t.setRoles)}
        {member.status === "ACTIVE" ? (
          item("suspend", t.suspend)
        ) : (
          <Menu.Item onClick={() => void letIn()}>{t.letIn}</Menu.Item>
        )}
        {item("remove", t.remove, "red")}
      </Menu.Dropdown>
    </Menu>
  );
}

interface DialogProps {
  readonly member: Member;
  readonly onClose: () => void;
}

function RolesDialog({ member, onClose }: DialogProps) {
  const t = useMessages(messages);
  const { close } = useMessages(parts);
  const notify = useNotify();
  const [roles, setRoles] = useState<readonly string[]>(member.roles.map(({ key }) => key));
  const [save, { loading, error }] = useSettingsSetMemberRolesMutation();
  const submit = async (): Promise<void> => {
    const saved = await save({ variables: { memberId: member.id, roles } }).catch(() => undefined);
    if (!saved?.data) return;
    notify.success(t.rolesDone(nameOf(member)));
    onClose();
  };
  return (
    <Modal opened onClose={onClose} title={t.rolesOf(nameOf(member))} closeButtonProps={{ "aria-label": close }}>
      <Stack gap="md">
        <Checkbox.Group label={t.roles} description={t.rolesText} value={[...roles]} onChange={setRoles}>
          <Stack gap="sm" mt="sm">
            {useGrantableRoles().map((key) => (
              <Checkbox key={key} value={key} label={roleName(key, t)} description={t.roleText(key)} />
            ))}
          </Stack>
        </Checkbox.Group>
        {error !== undefined && <ErrorNotice error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button loading={loading} onClick={() => void submit()}>
            {t.save}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Suspension({ member, onClose }: DialogProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [setStatus] = useSetMemberStatusMutation(REFETCH);
  return (
    <Confirm
      title={t.suspendTitle(nameOf(member))}
      text={t.suspendText}
      action={t.suspend}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await setStatus({ variables: { memberId: member.id, status: "SUSPENDED" } });
        notify.success(t.suspendDone(nameOf(member)));
      }}
    />
  );
}

function Removal({ member, onClose }: DialogProps) {
  const t = useMessages(messages);
  const notify = useNotify();
  const [remove] = useRemoveMemberMutation(REFETCH);
  return (
    <Confirm
      title={t.removeTitle(nameOf(member))}
      text={t.removeText}
      action={t.remove}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await remove({ variables: { memberId: member.id } });
        notify.success(t.removeDone(nameOf(member)));
      }}
    />
  );
}
