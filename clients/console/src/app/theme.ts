import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

const brand: MantineColorsTuple = [
  "#eef2ff",
  "#e0e7ff",
  "#c7d2fe",
  "#a5b4fc",
  "#818cf8",
  "#6366f1",
  "#4f46e5",
  "#4338ca",
  "#3730a3",
  "#312e81",
];
const dark: MantineColorsTuple = [
  "#e7e9f0",
  "#c6cad6",
  "#a0a7b8",
  "#747c90",
  "#3f4658",
  "#2e3444",
  "#232837",
  "#181c28",
  "#12151f",
  "#0b0e16",
];

/** Mantine makes the title bar of a dialog a `<header>`, which would be a second banner of the page. */
const TITLED = { attributes: { header: { role: "presentation" } } };

/** What a table on a phone is laid out as has none by itself: `parts/data-table.tsx`. */
const ROLES = Object.fromEntries(
  Object.entries({
    TableThead: "rowgroup",
    TableTbody: "rowgroup",
    TableTfoot: "rowgroup",
    TableTr: "row",
    TableTd: "cell",
  }).map(([part, role]) => [part, { defaultProps: { role } }]),
);

export const theme = createTheme({
  primaryColor: "brand",
  primaryShade: { light: 6, dark: 6 },
  colors: { brand, dark },
  defaultRadius: "md",
  fontFamily: '"Inter Variable", system-ui, -apple-system, "Segoe UI", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: "650", sizes: { h1: { fontSize: "1.875rem" }, h2: { fontSize: "1.5rem" } } },
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    Drawer: { defaultProps: TITLED },
    Modal: { defaultProps: TITLED },
    ...ROLES,
  },
});

/** Mantine's pale texts are paler than WCAG 2.2 AA allows (4.5:1). */
export const cssVariables: CSSVariablesResolver = ({ colors }) => {
  const hues = Object.keys(colors).filter((name) => name !== "dark");
  const all = (suffix: string, colour: (shade: (number: number) => string) => string) =>
    Object.fromEntries(
      hues.map((name) => [
        `--mantine-color-${name}-${suffix}`,
        colour((number) => `var(--mantine-color-${name}-${number})`),
      ]),
    );
  // Even the darkest yellow is too pale for a text.
  const ink = (shade: (number: number) => string) => `color-mix(in srgb, ${shade(9)} 62%, black)`;
  return {
    variables: {},
    light: {
      "--mantine-color-body": "#ffffff",
      "--mantine-color-dimmed": "#566072",
      "--mantine-color-placeholder": "#667085",
      "--mantine-color-error": "var(--mantine-color-red-9)",
      "--mantine-color-anchor": "var(--mantine-color-brand-7)",
      "--sba-canvas": "#f6f7fb",
      "--sba-line": "#e3e6ee",
      ...all("light-color", ink),
      ...all("outline", ink),
      "--mantine-color-brand-light-color": "var(--mantine-color-brand-7)",
    },
    dark: {
      "--mantine-color-body": "var(--mantine-color-dark-7)",
      "--mantine-color-dimmed": "var(--mantine-color-dark-2)",
      "--mantine-color-placeholder": "#8d95a8",
      "--mantine-color-error": "var(--mantine-color-red-4)",
      "--mantine-color-anchor": "var(--mantine-color-brand-3)",
      "--mantine-color-brand-light": "rgba(99, 102, 241, 0.2)",
      "--mantine-color-brand-light-hover": "rgba(99, 102, 241, 0.28)",
      "--sba-canvas": "var(--mantine-color-dark-8)",
      "--sba-line": "#2b3142",
      ...all("light-color", (shade) => shade(3)),
      ...all("outline", (shade) => shade(4)),
    },
  };
};
