import { useEffect, useMemo, useState, type ReactNode } from "react";
import { firstLocale, keepLocale, LocaleContext, type Locale } from "./locale.ts";

export function LocaleProvider({ children }: { readonly children: ReactNode }) {
  const [locale, setLocale] = useState<Locale>(firstLocale);
  useEffect(() => {
    document.documentElement.lang = locale;
  }, [locale]);
  const choice = useMemo(
    () => ({
      locale,
      setLocale: (chosen: Locale) => {
        keepLocale(chosen);
        setLocale(chosen);
      },
    }),
    [locale],
  );
  return <LocaleContext value={choice}>{children}</LocaleContext>;
}
