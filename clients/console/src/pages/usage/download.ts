/** Gives a text to the person as a file. */
export function downloadText(name: string, text: string, mediaType: string): void {
  // The mark at its beginning tells spreadsheets that it is UTF-8.
  const url = URL.createObjectURL(new Blob(["\uFEFF", text], { type: `${mediaType};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
