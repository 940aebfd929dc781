import { defineMessages } from "../../i18n/messages.ts";

export const messages = defineMessages({ title: "Ask" }, { title: "Tanya" });
