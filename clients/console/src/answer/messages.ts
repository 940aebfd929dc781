import { defineMessages } from "../i18n/messages.ts";

export const messages = defineMessages(
  {
    sources: "Sources",
    source: (number: number) => `Source ${number}`,
    openSource: (number: number, title: string) => `Source ${number}: ${title}`,
    unknownDocument: "A document that is no longer there",
    passageGone: "The passage is no longer there: the document has been given new content since.",
    original: "Open the original",
    inCollection: (name: string) => `In ${name}`,
    files: "Files",
    preview: "Look at it",
    download: "Download",
    tooLarge: "It is too large to be shown here.",
  },
  {
    sources: "Sumber",
    source: (number) => `Sumber ${number}`,
    openSource: (number, title) => `Sumber ${number}: ${title}`,
    unknownDocument: "Dokumen yang sudah tidak ada",
    passageGone: "Bagian ini sudah tidak ada: isi dokumennya sudah diganti.",
    original: "Buka aslinya",
    inCollection: (name) => `Di ${name}`,
    files: "Berkas",
    preview: "Lihat",
    download: "Unduh",
    tooLarge: "Terlalu besar untuk ditampilkan di sini.",
  },
);
