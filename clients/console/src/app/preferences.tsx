import { SegmentedControl, Stack, Text, useMantineColorScheme, type MantineColorScheme } from "@mantine/core";
import { useId } from "react";
import { LOCALES, useLocale, type Locale } from "../i18n/locale.ts";
import { useMessages } from "../i18n/messages.ts";
import { messages } from "./messages.ts";

/** Language and light or dark, of this browser. */
export function Preferences() {
  const t = useMessages(messages);
  const { locale, setLocale } = useLocale();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Stack gap="xs">
      <Choice<Locale>
        label={t.language}
        value={locale}
        onChange={setLocale}
        options={Object.entries(LOCALES).map(([value, label]) => ({ value: value as Locale, label }))}
      />
      <Choice<MantineColorScheme>
        label={t.theme}
        value={colorScheme}
        onChange={setColorScheme}
        options={[
          { value: "light", label: t.light },
          { value: "dark", label: t.dark },
          { value: "auto", label: t.auto },
        ]}
      />
    </Stack>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly { readonly value: T; readonly label: string }[];
  readonly onChange: (value: T) => void;
}

function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  const id = useId();
  return (
    <div>
      <Text id={id} size="xs" c="dimmed" mb={4}>
        {label}
      </Text>
      <SegmentedControl
        aria-labelledby={id}
        size="xs"
        fullWidth
        value={value}
        data={[...options]}
        onChange={(chosen) => {
          onChange(chosen);
        }}
      />
    </div>
  );
}
