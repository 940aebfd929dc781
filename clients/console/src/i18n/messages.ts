import { useLocale, type Locale } from "./locale.ts";

/** A text, or how it is made of what it is about: `(count: number) => ...`. */
type Message = string | ((...values: never[]) => string);
type Translated<T> = {
  readonly [Key in keyof T]: T[Key] extends (...values: infer V) => string ? (...values: V) => string : string;
};

export type Messages<T> = Readonly<Record<Locale, Translated<T>>>;

/** Texts in every language: a key that one of them lacks, or that takes other values, does not compile. */
export function defineMessages<T extends Readonly<Record<string, Message>>>(
  en: T,
  id: NoInfer<Translated<T>>,
): Messages<T> {
  // A message is its own translation.
  return { en: en as unknown as Translated<T>, id };
}

/** The texts in the language that was chosen: `t.title`, `t.waiting(3)`. */
export function useMessages<T>(messages: Messages<T>): Translated<T> {
  return messages[useLocale().locale];
}
