// What the codegen plugins beside it share. CommonJS, because codegen loads local plugins with require().
const { concatAST, Kind } = require("graphql");

const pascal = (name) => name.charAt(0).toUpperCase() + name.slice(1);
const camel = (name) => name.charAt(0).toLowerCase() + name.slice(1);

function describe(operation) {
  const name = pascal(operation.name.value);
  const type = `${name}${pascal(operation.operation)}`;
  const variables = (operation.variableDefinitions ?? []).map(({ variable, type: declared, defaultValue }) => ({
    name: variable.name.value,
    type: declared,
    required: declared.kind === Kind.NON_NULL_TYPE && !defaultValue,
  }));
  const [root] = operation.selectionSet.selections.filter(({ kind }) => kind === Kind.FIELD);
  return {
    kind: operation.operation,
    name,
    type,
    root,
    variables,
    variablesType: `${type}Variables`,
    document: `${name}Document`,
    required: variables.some(({ required }) => required),
  };
}

function operationsOf(documents) {
  return concatAST(documents.map(({ document }) => document))
    .definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION && definition.name)
    .map(describe);
}

const selects = ({ selectionSet }, name) =>
  selectionSet?.selections.some((each) => each.kind === Kind.FIELD && each.name.value === name) ?? false;

/** Subscriptions that go on after a cursor: each with its query to begin with, and the hook's name. */
function resumable(operations) {
  const isNamed = (type, name) => (type.type ?? type).name?.value === name;
  return operations
    .filter(
      ({ kind, root, variables }) =>
        kind === "subscription" &&
        selects(root, "cursor") &&
        variables.some(({ name, type }) => name === "after" && isNamed(type, "Cursor")),
    )
    .map((events) => ({
      events,
      live: camel(`${events.name.replace(/Live$/, "")}Live`),
      snapshot: operations.find(
        ({ kind, name, root }) => kind === "query" && name === `${events.name}Snapshot` && selects(root, "cursor"),
      ),
      parameters: events.variables.filter(({ name }) => name !== "after"),
    }));
}

module.exports = { camel, operationsOf, pascal, resumable };
