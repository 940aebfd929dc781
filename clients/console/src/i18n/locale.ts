import { createContext, useContext } from "react";

/** The languages of the console. A page keeps its own messages beside it: see `defineMessages`. */

export const LOCALES = { en: "English", id: "Bahasa Indonesia" } as const;
export type Locale = keyof typeof LOCALES;

const KEY = "sba.locale";

/** What was chosen before, else what the browser asks for. */
export function firstLocale(): Locale {
  const kept = localStorage.getItem(KEY);
  if (kept === "en" || kept === "id") return kept;
  return navigator.languages.some((language) => language.toLowerCase().startsWith("id")) ? "id" : "en";
}

export function keepLocale(locale: Locale): void {
  localStorage.setItem(KEY, locale);
}

interface LocaleChoice {
  readonly locale: Locale;
  readonly setLocale: (locale: Locale) => void;
}

export const LocaleContext = createContext<LocaleChoice>({ locale: "en", setLocale: () => undefined });

export function useLocale(): LocaleChoice {
  return useContext(LocaleContext);
}
