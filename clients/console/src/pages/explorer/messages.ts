import { defineMessages } from "../../i18n/messages.ts";

export const messages = defineMessages(
  {
    title: "Explorer",
    description: "Ask the API as yourself: what you may do here is what you may do elsewhere.",
    frame: "GraphiQL, the explorer of the API",
    saved: "Saved operations",
    search: "Search the operations",
    none: "No operation is called that.",
    refused: (count: number) =>
      count === 1
        ? "1 more is not shown: it needs a permission that you do not have."
        : `${count} more are not shown: they need permissions that you do not have.`,
    query: "Query",
    mutation: "Mutation",
    subscription: "Subscription",
  },
  {
    title: "Penjelajah",
    description: "Bertanya kepada API sebagai diri Anda: hak Anda di sini sama dengan di tempat lain.",
    frame: "GraphiQL, penjelajah API",
    saved: "Operasi tersimpan",
    search: "Cari operasi",
    none: "Tidak ada operasi dengan nama itu.",
    refused: (count) => `${count} lagi tidak ditampilkan: perlu izin yang tidak Anda miliki.`,
    query: "Kueri",
    mutation: "Mutasi",
    subscription: "Langganan",
  },
);
