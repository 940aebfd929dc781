declare module "*.module.css" {
  const classes: Readonly<Record<string, string>>;
  export default classes;
}

/** Vite's, as far as it is used: https://vite.dev/guide/features#glob-import */
interface ImportMeta {
  glob<T>(pattern: string, options: { eager: true; query: "?raw"; import: "default" }): Readonly<Record<string, T>>;
}
