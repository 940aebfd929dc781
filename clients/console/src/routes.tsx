import { lazy, type ComponentType } from "react";
import type { Locale } from "./i18n/locale.ts";
import {
  IconApi,
  IconBook2,
  IconChartBar,
  IconInbox,
  IconListDetails,
  IconMessageCircle,
  IconRoute,
  IconSettings,
} from "./parts/icons.ts";
import type { Permission } from "./session/permission.tsx";

/** A page of the console: its folder in `src/pages` is the first segment of its paths. */
export interface Route {
  readonly path: string;
  readonly title: Readonly<Record<Locale, string>>;
  readonly Icon: ComponentType<{ readonly size?: number; readonly stroke?: number }>;
  /** Who may see it: without it the page is not in the navigation. Of one's own sessions nobody needs any. */
  readonly needs?: Permission;
  readonly Page: ComponentType;
}

type Loader = () => Promise<{ readonly default: ComponentType }>;
const page = (path: string, load: Loader, rest: Omit<Route, "path" | "Page">): Route => ({
  path,
  Page: lazy(load),
  ...rest,
});

/** One line a page, in the order of the navigation. */
// prettier-ignore
export const ROUTES: readonly Route[] = [
  page("ask", () => import("./pages/ask/page.tsx"), { title: { en: "Ask", id: "Tanya" }, Icon: IconMessageCircle, needs: "run:read" }),
  page("runs", () => import("./pages/runs/page.tsx"), { title: { en: "Runs", id: "Proses" }, Icon: IconListDetails, needs: "run:read" }),
  page("inbox", () => import("./pages/inbox/page.tsx"), { title: { en: "Inbox", id: "Kotak masuk" }, Icon: IconInbox, needs: "approval:read" }),
  page("knowledge", () => import("./pages/knowledge/page.tsx"), { title: { en: "Knowledge", id: "Pengetahuan" }, Icon: IconBook2, needs: "knowledge:read" }),
  page("workflows", () => import("./pages/workflows/page.tsx"), { title: { en: "Workflows", id: "Alur kerja" }, Icon: IconRoute, needs: "workflow:read" }),
  page("usage", () => import("./pages/usage/page.tsx"), { title: { en: "Usage", id: "Pemakaian" }, Icon: IconChartBar, needs: "usage:read" }),
  page("settings", () => import("./pages/settings/page.tsx"), { title: { en: "Settings", id: "Pengaturan" }, Icon: IconSettings }),
  page("explorer", () => import("./pages/explorer/page.tsx"), { title: { en: "Explorer", id: "Penjelajah" }, Icon: IconApi, needs: "agent:read" }),
];
