import type { FetchDataRewrite, QueryPlanSelectionNode } from "@apollo/query-planner";
import { isAbstractType, isInterfaceType, isObjectType, type GraphQLSchema } from "graphql";

/** The answers of a plan's fetches: how they are put together, found again by path, and asked for more. */

export type Data = Record<string, unknown>;

export function isData(value: unknown): value is Data {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function ownValue(data: Data, key: string): unknown {
  return Object.hasOwn(data, key) ? data[key] : undefined;
}

/** Sets a property of its own, also when it is called as one that every object has. */
function setOwn(data: Data, key: string, value: unknown): void {
  if (key in data && !Object.hasOwn(data, key))
    Object.defineProperty(data, key, { configurable: true, enumerable: true, writable: true, value });
  else data[key] = value;
}

/** Adds what another fetch has answered for the same object. */
export function merge(target: Data, source: Readonly<Data> | null | undefined): void {
  for (const key of Object.keys(source ?? {})) {
    const value = source?.[key];
    if (value === undefined) continue;
    const existing = ownValue(target, key);
    if (existing && isData(value)) merge(existing as Data, value);
    else if (Array.isArray(value) && Array.isArray(existing) && value.length === existing.length)
      mergeItems(existing, value);
    else setOwn(target, key, value);
  }
}

function mergeItems(existing: unknown[], items: readonly unknown[]): void {
  for (const [index, item] of items.entries()) {
    const target = existing[index];
    if (isData(target) && isData(item)) merge(target, item);
    else existing[index] = item;
  }
}

export type Path = readonly (string | number)[];

/** What stands at a path of a plan, where `@` is each item of a list. Undefined or null when nothing does. */
export function valueAt(value: unknown, [step, ...rest]: Path): unknown {
  if (step === undefined || value === undefined || value === null) return value;
  if (step === "@") return (value as unknown[]).flatMap((item) => valueAt(item, rest));
  if (Array.isArray(value)) throw new Error(`a subgraph gave a list where the plan has ${step}`);
  return valueAt(ownValue(value as Data, String(step)), rest);
}

/** The place of each object that a path of a plan leads to, with the indexes of lists. */
export function placesOf(value: unknown, path: Path, before: Path = []): Path[] {
  const [step, ...rest] = path;
  if (value === undefined || value === null) return [];
  if (step === undefined) return [before];
  if (Array.isArray(value)) {
    const behind = step === "@" ? rest : path;
    return value.flatMap((item, index) => placesOf(item, behind, [...before, index]));
  }
  const key = String(step);
  return Object.hasOwn(value, key) ? placesOf((value as Data)[key], rest, [...before, key]) : [];
}

/** What identifies an entity for another subgraph, or null when it has not got it. */
export function select(
  schema: GraphQLSchema,
  source: Data | null,
  selections: readonly QueryPlanSelectionNode[],
): Data | null {
  if (source === null) return null;
  const selected: Data = {};
  for (const selection of selections) {
    if (selection.kind === "Field") {
      const key = selection.alias ?? selection.name;
      const value = ownValue(source, key);
      if (value === undefined) return null;
      setOwn(selected, key, selectValue(schema, value, selection.selections));
    } else if (selection.typeCondition && isOfType(schema, source, selection.typeCondition)) {
      merge(selected, select(schema, source, selection.selections));
    }
  }
  return selected;
}

function selectValue(
  schema: GraphQLSchema,
  value: unknown,
  selections: readonly QueryPlanSelectionNode[] | undefined,
): unknown {
  if (!selections) return value;
  if (Array.isArray(value)) return value.map((item) => select(schema, item as Data | null, selections));
  return select(schema, value as Data | null, selections);
}

function isOfType(schema: GraphQLSchema, { __typename: typename }: Data, condition: string): boolean {
  if (typeof typename !== "string" || typename === "") return false;
  if (typename === condition) return true;
  const [type, wanted] = [schema.getType(typename), schema.getType(condition)];
  if (!wanted || !isAbstractType(wanted)) return false;
  return (isObjectType(type) || isInterfaceType(type)) && schema.isSubType(wanted, type);
}

/** Renames or sets what a plan has asked for under another name than it goes on with. */
export function rewrite(schema: GraphQLSchema, rewrites: readonly FetchDataRewrite[] | undefined, data: unknown): void {
  for (const each of rewrites ?? []) {
    const field = each.path.at(-1);
    if (field === undefined) continue;
    for (const target of targetsOf(schema, data, each.path.slice(0, -1))) {
      if (each.kind === "ValueSetter") setOwn(target, field, each.setValueTo);
      else rename(target, field, each.renameKeyTo);
    }
  }
}

function rename(data: Data, from: string, to: string): void {
  const value = ownValue(data, from);
  if (!value) return;
  setOwn(data, to, value);
  data[from] = undefined;
}

const TYPE_STEP = "... on ";

function targetsOf(schema: GraphQLSchema, value: unknown, path: readonly string[]): Data[] {
  if (Array.isArray(value)) return value.flatMap((item) => targetsOf(schema, item, path));
  if (!isData(value)) return [];
  const [step, ...rest] = path;
  if (step === undefined) return [value];
  if (!step.startsWith(TYPE_STEP)) return targetsOf(schema, ownValue(value, step), rest);
  // Without a type it may be the one.
  const matches = !value["__typename"] || isOfType(schema, value, step.slice(TYPE_STEP.length));
  return matches ? targetsOf(schema, value, rest) : [];
}
