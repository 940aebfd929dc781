import { Button, Chip, Group, Select } from "@mantine/core";
import { useRunsAgentsQuery } from "../../generated/runs/hooks.ts";
import { useMessages } from "../../i18n/messages.ts";
import { IconX } from "../../parts/icons.ts";
import { messages } from "./messages.ts";
import { SPANS, STATUSES, STATUS_GROUPS, type FilterName, type RunListFilter, type Span } from "./use-filter.ts";

const GROUPS = Object.keys(STATUS_GROUPS) as (keyof typeof STATUS_GROUPS)[];

export function Filters({ chosen, isFiltered, set, clear }: RunListFilter) {
  const t = useMessages(messages);
  const agents = useRunsAgentsQuery().data?.agents.edges.map(({ node }) => ({ value: node.key, label: node.name }));
  const choose = (name: FilterName) => (value: string | null) => {
    set(name, value);
  };
  return (
    <Group gap="sm" align="flex-end" role="group" aria-label={t.filters}>
      <Select
        label={t.status}
        placeholder={t.anyStatus}
        data={[...GROUPS, ...STATUSES].map((value) => ({ value, label: t[value] }))}
        value={chosen.status ?? null}
        onChange={choose("status")}
        {...APPEARANCE}
      />
      <Select
        label={t.agent}
        placeholder={t.anyAgent}
        data={agents ?? []}
        value={chosen.agent ?? null}
        onChange={choose("agent")}
        {...APPEARANCE}
      />
      <Select
        label={t.time}
        placeholder={t.anyTime}
        data={(Object.keys(SPANS) as Span[]).map((value) => ({ value, label: t[value] }))}
        value={chosen.since ?? null}
        onChange={choose("since")}
        {...APPEARANCE}
      />
      <Chip
        size="sm"
        pb={4}
        checked={chosen.mine !== undefined}
        onChange={(isOn) => {
          set("mine", isOn ? "1" : null);
        }}
      >
        {t.mine}
      </Chip>
      {chosen.thread !== undefined && (
        <Button
          variant="light"
          size="sm"
          rightSection={<IconX size={14} />}
          aria-label={t.leaveThread}
          onClick={() => {
            set("thread", null);
          }}
        >
          {t.thread}
        </Button>
      )}
      {isFiltered && (
        <Button variant="subtle" size="sm" onClick={clear}>
          {t.clear}
        </Button>
      )}
    </Group>
  );
}

const APPEARANCE = {
  clearable: true,
  size: "sm",
  w: { base: "100%", xs: 190 },
  comboboxProps: { shadow: "md" },
} as const;
