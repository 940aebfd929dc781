import { Anchor, Badge, Button, Stack, Table, Text } from "@mantine/core";
import { useMemo, useState, type ReactNode } from "react";
import { Link, useSearchParams } from "wouter";
import type { RunsCompareFragment } from "../../../generated/runs/graphql.ts";
import { useRunsComparedQuery } from "../../../generated/runs/hooks.ts";
import { useFormat, type Format } from "../../../i18n/format.ts";
import { useMessages } from "../../../i18n/messages.ts";
import { meterTexts } from "../../../i18n/meters.ts";
import { DataTable } from "../../../parts/data-table.tsx";
import { EmptyState } from "../../../parts/empty-state.tsx";
import { IconArrowsDiff } from "../../../parts/icons.ts";
import { Page } from "../../../parts/page.tsx";
import { QueryState } from "../../../parts/query-state.tsx";
import { messages as timelineMessages } from "../../../timeline/messages.ts";
import { durationOf } from "../row.tsx";
import { titleOf } from "../run/detail.ts";
import { Section } from "../../../parts/section.tsx";
import { RunStatusBadge } from "../status.tsx";
import classes from "./compare.module.css";
import { diffOf } from "./diff.ts";
import { messages } from "./messages.ts";

type Texts = ReturnType<typeof useMessages<(typeof messages)["en"]>>;
type Kinds = ReturnType<typeof useMessages<(typeof timelineMessages)["en"]>>;

/** Two runs beside each other: `/runs/compare?one=...&other=...`. */
export default function ComparePage() {
  const t = useMessages(messages);
  const [params] = useSearchParams();
  const [one, other] = [params.get("one") ?? "", params.get("other") ?? ""];
  const areChosen = one !== "" && other !== "";
  const result = useRunsComparedQuery({ variables: { one, other }, skip: !areChosen });
  const back = { href: "/runs", label: t.back };
  return (
    <Page back={back} title={t.title} description={t.description}>
      {areChosen ? (
        <QueryState data={result.data} error={result.error} onRetry={() => void result.refetch()} back={back}>
          {(data) => <Compared one={data.one} other={data.other} />}
        </QueryState>
      ) : (
        <EmptyState
          icon={<IconArrowsDiff size={28} />}
          title={t.chooseTitle}
          text={t.chooseText}
          action={
            <Button component={Link} href="/runs">
              {t.toList}
            </Button>
          }
        />
      )}
    </Page>
  );
}

interface BothProps {
  readonly one: RunsCompareFragment;
  readonly other: RunsCompareFragment;
}

function Compared({ one, other }: BothProps) {
  const t = useMessages(messages);
  const { meterName } = useMessages(meterTexts);
  const kinds = useMessages(timelineMessages);
  const format = useFormat();
  return (
    <Stack gap="lg">
      <Section title={t.facts}>
        <Rows head={t.what} one={one} other={other} lines={linesOf({ one, other }, meterName, t, format)} />
      </Section>
      <Section title={t.answer}>
        <Answers one={one.output ?? ""} other={other.output ?? ""} />
      </Section>
      <Section title={t.steps}>
        <Rows head={t.step} one={one} other={other} lines={stepLinesOf({ one, other }, kinds, t, format)} />
      </Section>
    </Stack>
  );
}

interface Line {
  readonly name: string;
  readonly one: string;
  readonly other: string;
  /** How it is shown, when not as a text; of the second run when `isOther`. */
  readonly show?: (value: string, isOther: boolean) => ReactNode;
}

function linesOf(
  { one, other }: BothProps,
  meterName: (meter: string) => string,
  t: Texts,
  format: Format,
): readonly Line[] {
  const both = (name: string, read: (run: RunsCompareFragment) => string, show?: Line["show"]): Line => ({
    ...{ name, one: read(one), other: read(other) },
    ...(show ? { show } : {}),
  });
  const meters = [...new Set([one, other].flatMap(({ usage }) => usage?.map(({ meter }) => meter) ?? []))];
  return [
    both(
      t.status,
      ({ status }) => status,
      (status) => <RunStatusBadge status={status} />,
    ),
    both(t.prompt, ({ prompt }) => prompt),
    both(t.agent, ({ agent, agentVersion }) =>
      `${agent?.name ?? ""} ${agentVersion ? t.version(agentVersion.number) : ""}`.trim(),
    ),
    both(t.model, ({ model }) => model),
    both(t.duration, (run) => {
      const ms = durationOf(run);
      return ms === undefined ? t.underWay : format.duration(ms);
    }),
    both(t.cost, ({ cost }) => (cost ? format.money(cost) : "")),
    both(t.steps, ({ steps }) => format.quantity(steps.edges.length)),
    ...meters.map((meter) =>
      both(meterName(meter), ({ usage }) =>
        format.quantity(usage?.find((line) => line.meter === meter)?.quantity ?? "0"),
      ),
    ),
  ];
}

/** Step by step: what was done; how long it took is said, but makes no difference. */
function stepLinesOf({ one, other }: BothProps, kinds: Kinds, t: Texts, format: Format): readonly Line[] {
  const count = Math.max(one.steps.edges.length, other.steps.edges.length);
  return Array.from({ length: count }, (_, index) => ({
    name: String(index + 1),
    one: whatOf(one, index, kinds),
    other: whatOf(other, index, kinds),
    show: (what, isOther) => <Done what={what} took={tookOf(isOther ? other : one, index, t, format)} />,
  }));
}

function whatOf({ steps }: RunsCompareFragment, index: number, kinds: Kinds): string {
  const step = steps.edges[index]?.node;
  if (!step) return "";
  return step.toolCall ? `${step.toolCall.name} ${JSON.stringify(step.toolCall.params)}` : kinds[step.type];
}

function tookOf({ steps }: RunsCompareFragment, index: number, t: Texts, format: Format): string {
  const step = steps.edges[index]?.node;
  if (!step) return "";
  return step.endedAt === null ? t.underWay : format.duration(Date.parse(step.endedAt) - Date.parse(step.startedAt));
}

/** More of a tool's parameters than this is shown when somebody asks for it: they may be a whole document. */
const SHORT = 120;

function Done({ what, took }: { readonly what: string; readonly took: string }) {
  const t = useMessages(messages);
  const [isWhole, setWhole] = useState(false);
  const isLong = what.length > SHORT;
  return (
    <div>
      {isLong && !isWhole ? `${what.slice(0, SHORT).trimEnd()}…` : what}{" "}
      <Text span size="sm" c="dimmed">
        · {took}
      </Text>
      {isLong && (
        <Button
          display="block"
          size="compact-xs"
          variant="subtle"
          ml={-8}
          aria-expanded={isWhole}
          onClick={() => {
            setWhole(!isWhole);
          }}
        >
          {isWhole ? t.less : t.more}
        </Button>
      )}
    </div>
  );
}

interface RowsProps extends BothProps {
  readonly head: string;
  readonly lines: readonly Line[];
}

function Rows({ head, lines, one, other }: RowsProps) {
  const t = useMessages(messages);
  return (
    <DataTable
      label={head}
      minWidth={680}
      className={classes["table"]}
      columns={[
        { label: head, width: 190 },
        { label: t.one, content: <RunLink run={one} label={t.one} /> },
        { label: t.other, content: <RunLink run={other} label={t.other} /> },
        { label: t.differs, width: 110 },
      ]}
    >
      {lines.map((line) => (
        <CompareRow key={line.name} line={line} />
      ))}
    </DataTable>
  );
}

function CompareRow({ line: { name, one, other, show = (value) => value } }: { readonly line: Line }) {
  const t = useMessages(messages);
  const differs = one !== other;
  return (
    <Table.Tr data-differs={differs}>
      <Table.Th scope="row" role="rowheader" fw={500}>
        {name}
      </Table.Th>
      {[one, other].map((value, index) => (
        <Table.Td key={index} className={classes["value"]}>
          {value === "" ? t.none : show(value, index === 1)}
        </Table.Td>
      ))}
      <Table.Td>
        {differs ? (
          <Badge variant="dot" color="yellow" tt="none" miw="max-content">
            {t.differs}
          </Badge>
        ) : (
          <Text size="sm" c="dimmed">
            {t.same}
          </Text>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function RunLink({ run: { id, prompt }, label }: { readonly run: RunsCompareFragment; readonly label: string }) {
  return (
    <Anchor component={Link} href={`/runs/${id}`} title={titleOf(prompt)}>
      {label}
    </Anchor>
  );
}

function Answers({ one, other }: { readonly one: string; readonly other: string }) {
  const t = useMessages(messages);
  const parts = useMemo(() => diffOf(one, other), [one, other]);
  if (one === other) return <Text c="dimmed">{one === "" ? t.none : t.answerSame}</Text>;
  return (
    <div className={classes["answers"]}>
      {(["one", "other"] as const).map((side) => (
        <section key={side} aria-label={t[side]}>
          <Text size="sm" c="dimmed" mb={4}>
            {t[side]}
          </Text>
          <Text className={classes["answer"]}>
            {parts
              .filter(({ kind }) => kind === "same" || kind === side)
              .map(({ kind, text }, index) =>
                kind === "same" ? (
                  text
                ) : (
                  <mark key={index} className={classes[side]} title={side === "one" ? t.onlyOne : t.onlyOther}>
                    {text}
                  </mark>
                ),
              )}
          </Text>
        </section>
      ))}
    </div>
  );
}
