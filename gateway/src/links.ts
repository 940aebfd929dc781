import { platformErrors } from "@sba/platform/errors";
import type { Route, Subgraph } from "@sba/platform/server";
import { linkInProcess, type SubgraphLink, type SubgraphLinks } from "./forward.ts";
import { answerWithin, type SubgraphGuardOptions } from "./forward-guard.ts";
import { linkRemote, type RemoteSubgraph } from "./forward-remote.ts";

/** The subgraphs as they are reached now. Who holds a link of these is led to wherever its subgraph has moved. */

export type GivenSubgraph = Subgraph | RemoteSubgraph;

export interface Links {
  readonly byName: SubgraphLinks;
  /** Takes other addresses for known names, and new names. Returns how to close what was replaced, once nothing new goes there. */
  adopt(given: readonly GivenSubgraph[]): () => Promise<void>;
  close(): Promise<void>;
}

interface Place {
  readonly given: GivenSubgraph;
  readonly link: SubgraphLink;
}

/** How long subgraphs are waited for, and when one is left alone. */
export interface LinkOptions {
  /** By the subgraph's name, `*` for all others. */
  readonly subgraphTimeoutsMs?: ReadonlyMap<string, number>;
  readonly subgraphGuard?: Omit<SubgraphGuardOptions, "timeoutMs">;
}

export function openLinks(first: readonly GivenSubgraph[], options: LinkOptions = {}): Links {
  const places = new Map<string, Place>();
  const byName = new Map<string, SubgraphLink>();
  const adopt = (given: readonly GivenSubgraph[]): (() => Promise<void>) => {
    const left: SubgraphLink[] = [];
    for (const each of given) {
      const before = places.get(each.name);
      if (before && isSamePlace(before.given, each)) continue;
      if (before) left.push(before.link);
      places.set(each.name, { given: each, link: openLink(each, options) });
      if (!before) byName.set(each.name, follow(each.name, places));
    }
    return () => closeAll(left);
  };
  adopt(first);
  return { byName, adopt, close: () => closeAll([...places.values()].map(({ link }) => link)) };
}

function openLink(given: GivenSubgraph, { subgraphTimeoutsMs, subgraphGuard }: LinkOptions): SubgraphLink {
  const timeoutMs = subgraphTimeoutsMs?.get(given.name) ?? subgraphTimeoutsMs?.get("*");
  if (!("schema" in given)) return linkRemote(given, { ...subgraphGuard, timeoutMs });
  return linkInProcess(given, (operation, answer) => answerWithin(timeoutMs, operation, answer));
}

async function closeAll(links: readonly SubgraphLink[]): Promise<void> {
  await Promise.all(links.map((link) => link.close()));
}

function isSamePlace(a: GivenSubgraph, b: GivenSubgraph): boolean {
  if (a === b) return true;
  return !("schema" in a) && !("schema" in b) && a.url === b.url;
}

function follow(name: string, places: ReadonlyMap<string, Place>): SubgraphLink {
  const current = (): SubgraphLink => {
    const place = places.get(name);
    if (!place) throw new Error(`no link to the subgraph ${name}`);
    return place.link;
  };
  return {
    name,
    routes: current().routes.map((route) => followRoute(route, current)),
    execute: (operation, request) => current().execute(operation, request),
    subscribe: (operation, request) => current().subscribe(operation, request),
    isReady: () => current().isReady(),
    close: () => Promise.resolve(),
  };
}

function followRoute(route: Route, current: () => SubgraphLink): Route {
  return {
    ...route,
    handle: async (request) => {
      const now = current().routes.find(({ method, path }) => method === route.method && path === route.path);
      if (!now) throw platformErrors.ROUTE_NOT_FOUND();
      return now.handle(request);
    },
  };
}
