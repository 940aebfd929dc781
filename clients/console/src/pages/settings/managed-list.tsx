import { Button, Group, Table } from "@mantine/core";
import { useState, type ComponentProps, type ReactNode } from "react";
import { useMessages } from "../../i18n/messages.ts";
import { Confirm } from "../../parts/confirm.tsx";
import { DataTable } from "../../parts/data-table.tsx";
import { EmptyState } from "../../parts/empty-state.tsx";
import { useNotify } from "../../parts/error-notice.tsx";
import { IconPlus } from "../../parts/icons.ts";
import { QueryState } from "../../parts/query-state.tsx";
import { Section } from "../../parts/section.tsx";
import { messages } from "./messages.ts";
import { Secret } from "./secret.tsx";

interface Row {
  readonly key: string;
  /** By which it is told from others, when it is asked whether to remove it. */
  readonly name: string;
  readonly cells: ReactNode;
}

interface DialogProps<T> {
  /** What is given other values; undefined for a new one. */
  readonly item: T | undefined;
  readonly onClose: () => void;
  /** What was made has a secret. */
  readonly onSecret: (secret: string) => void;
}

interface Removal<T> {
  readonly action: string;
  readonly title: (item: T) => string;
  readonly text: string;
  readonly done: (item: T) => string;
  readonly remove: (item: T) => Promise<unknown>;
  /** What is kept to be seen, but is no more, is not removed again. */
  readonly isOver?: (item: T) => boolean;
}

interface ManagedListProps<T> {
  readonly title: string;
  readonly description: string;
  readonly result: { readonly data?: unknown; readonly error?: unknown; readonly refetch: () => Promise<unknown> };
  readonly items: readonly T[];
  readonly empty: ComponentProps<typeof EmptyState>;
  readonly columns: readonly string[];
  readonly minWidth?: number;
  readonly row: (item: T) => Row;
  /** Whoever may not only looks. */
  readonly mayManage: boolean;
  /** What the button says that opens the dialog for a new one. */
  readonly create: string;
  readonly canChange?: boolean;
  readonly dialog: (props: DialogProps<T>) => ReactNode;
  /** What is said where a secret is shown, this once. */
  readonly secret?: { readonly title: string; readonly text: string };
  readonly removal: Removal<T>;
  /** Below the table. */
  readonly children?: ReactNode;
}

/** What is made here, with its secret shown once if it has one, and removed again: keys, endpoints, policies. */
export function ManagedList<T extends object>(props: ManagedListProps<T>) {
  const { title, description, result, items, empty, mayManage, create, dialog, secret, removal, children } = props;
  const [edited, setEdited] = useState<T | "new">();
  const [shown, setShown] = useState<string>();
  const [removed, setRemoved] = useState<T>();
  const button = (
    <Button
      size="sm"
      leftSection={<IconPlus size={16} />}
      onClick={() => {
        setEdited("new");
      }}
    >
      {create}
    </Button>
  );
  const close = (): void => {
    setEdited(undefined);
  };
  return (
    <Section title={title} description={description} actions={mayManage && button}>
      <QueryState
        data={result.data}
        error={result.error}
        onRetry={() => void result.refetch()}
        isEmpty={() => items.length === 0}
        empty={<EmptyState {...empty} />}
      >
        {() => <Rows {...props} onChange={setEdited} onRemove={setRemoved} />}
      </QueryState>
      {children}
      {edited !== undefined &&
        dialog({ item: edited === "new" ? undefined : edited, onClose: close, onSecret: setShown })}
      {secret && shown !== undefined && (
        <Secret
          {...secret}
          value={shown}
          onClose={() => {
            setShown(undefined);
          }}
        />
      )}
      {removed && (
        <Removing
          item={removed}
          removal={removal}
          onClose={() => {
            setRemoved(undefined);
          }}
        />
      )}
    </Section>
  );
}

interface RowsProps<T> extends ManagedListProps<T> {
  readonly onChange: (item: T) => void;
  readonly onRemove: (item: T) => void;
}

function Rows<T>(props: RowsProps<T>) {
  const { title, items, columns, minWidth, row, mayManage, canChange, removal, onChange, onRemove } = props;
  const t = useMessages(messages);
  return (
    <DataTable
      label={title}
      {...(minWidth === undefined ? {} : { minWidth })}
      columns={[
        ...columns.map((label) => ({ label })),
        ...(mayManage ? [{ label: t.actions, actions: "below" as const }] : []),
      ]}
    >
      {items.map((item) => {
        const { key, name, cells } = row(item);
        const action = (label: string, color: string, onClick: (item: T) => void) => (
          <Button
            size="compact-sm"
            variant="subtle"
            color={color}
            aria-label={`${label}: ${name}`}
            onClick={() => {
              onClick(item);
            }}
          >
            {label}
          </Button>
        );
        return (
          <Table.Tr key={key}>
            {cells}
            {mayManage && (
              <Table.Td>
                {removal.isOver?.(item) !== true && (
                  <Group gap="xs" justify="flex-end" wrap="nowrap">
                    {canChange === true && action(t.change, "brand", onChange)}
                    {action(removal.action, "red", onRemove)}
                  </Group>
                )}
              </Table.Td>
            )}
          </Table.Tr>
        );
      })}
    </DataTable>
  );
}

interface RemovingProps<T> {
  readonly item: T;
  readonly removal: Removal<T>;
  readonly onClose: () => void;
}

function Removing<T>({ item, removal: { action, title, text, done, remove }, onClose }: RemovingProps<T>) {
  const t = useMessages(messages);
  const notify = useNotify();
  return (
    <Confirm
      title={title(item)}
      text={text}
      action={action}
      cancel={t.cancel}
      onClose={onClose}
      onConfirm={async () => {
        await remove(item);
        notify.success(done(item));
      }}
    />
  );
}
