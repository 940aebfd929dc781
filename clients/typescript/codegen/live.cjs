// A codegen plugin for subscriptions that go on after a cursor. For each it writes
//
//     emit: "definitions"   what joins its snapshot and its events, for any framework
//     emit: "hooks"         a React hook over that: `useRunLive(runId)`
//     emit: "logs"          which query lists the same events, for clients that poll
//
// `subscription RunLive` makes `runLive`, begun by `query RunLiveSnapshot` if there is one, and folded by the model that
// `models` names (`./file.ts#exportName`); without one it is the list of its events.
const { camel, operationsOf, pascal, resumable } = require("./operations.cjs");

const EVENTS_MODEL = "eventsModel";

function definitions(streams, { models = {}, library }) {
  const modelOf = ({ events }) => models[events.name]?.split("#");
  const documents = streams.flatMap(({ events, snapshot }) => [
    events.document,
    `type ${events.variablesType}`,
    ...(snapshot ? [snapshot.document] : []),
    ...(models[events.name] ? [] : [`type ${events.type}`]),
  ]);
  const imports = streams.map(modelOf).filter(Boolean);
  const written = streams.map((stream) => {
    const { events, live, snapshot, parameters } = stream;
    const model = modelOf(stream)?.[1] ?? `${EVENTS_MODEL}<${events.type}>()`;
    const picked = parameters.map(({ name }) => `"${name}"`).join(" | ") || "never";
    return [
      `export type ${pascal(live)}Variables = Pick<${events.variablesType}, ${picked}>;`,
      `export const ${live} = /* @__PURE__ */ defineLive({`,
      ...(snapshot
        ? [
            `  snapshot: ${snapshot.document},`,
            `  cursorOf: ({ ${snapshot.root.name.value} }) => ${snapshot.root.name.value}.cursor,`,
          ]
        : []),
      `  events: ${events.document},`,
      `  model: ${model},`,
      `  variables: (variables: ${pascal(live)}Variables) => variables,`,
      "});",
    ].join("\n");
  });
  const needsList = streams.some((stream) => !modelOf(stream));
  return {
    prepend: [
      "/* eslint-disable */",
      `import { defineLive${needsList ? `, ${EVENTS_MODEL}` : ""} } from "${library}";`,
      ...imports.map(([file, name]) => `import { ${name} } from "${file}";`),
      `import {\n  ${documents.join(",\n  ")},\n} from "./graphql.ts";\n`,
    ],
    content: `${written.join("\n\n")}\n`,
  };
}

function hooks(streams, { library }) {
  const written = streams.map(({ live, parameters }) => {
    const type = `${pascal(live)}Variables`;
    const name = `use${pascal(live)}`;
    if (parameters.length === 0)
      return `export const ${name} = (options?: LiveOptions) => useLive(${live}, {}, options);`;
    const [only] = parameters;
    if (parameters.length > 1)
      return `export const ${name} = (variables: ${type} | undefined, options?: LiveOptions) =>\n  useLive(${live}, variables, options);`;
    return [
      `/** Nothing is listened to while there is no ${only.name}. */`,
      `export const ${name} = (${only.name}: ${type}["${only.name}"] | undefined, options?: LiveOptions) =>`,
      `  useLive(${live}, ${only.name} === undefined ? undefined : { ${only.name} }, options);`,
    ].join("\n");
  });
  const names = streams.flatMap(({ live, parameters }) => [
    live,
    ...(parameters.length === 0 ? [] : [`type ${pascal(live)}Variables`]),
  ]);
  return {
    prepend: [
      "/* eslint-disable */",
      `import { useLive, type LiveOptions } from "${library}";`,
      `import {\n  ${names.join(",\n  ")},\n} from "./live.ts";\n`,
    ],
    content: `${written.join("\n\n")}\n`,
  };
}

/** `runEvents` and `runEventLog` list the same: the schema has the one for each of the other. */
function logs(schema, { last = {} }) {
  const queries = schema.getQueryType()?.getFields() ?? {};
  const entries = Object.keys(schema.getSubscriptionType()?.getFields() ?? {})
    .map((field) => [field, camel(field.replace(/Events$/, "EventLog"))])
    .filter(([field, log]) => log !== field && queries[log])
    .map(([field, log]) => `  ${field}: { field: "${log}", last: ${JSON.stringify(last[field] ?? [])} },`);
  return {
    prepend: ["/* eslint-disable */", 'import type { EventLog } from "../documents.ts";\n'],
    content: `export const EVENT_LOGS: Readonly<Record<string, EventLog>> = {\n${entries.join("\n")}\n};\n`,
  };
}

module.exports = {
  plugin(schema, documents, config) {
    if (config.emit === "logs") return logs(schema, config);
    const streams = resumable(operationsOf(documents));
    return config.emit === "hooks" ? hooks(streams, config) : definitions(streams, config);
  },
};
