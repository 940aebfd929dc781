import { readFile } from "node:fs/promises";
import { CreateCollectionDocument } from "@sba/client";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { settled, useBrowser, violationsOf } from "./browser.ts";

const browser = useBrowser();

/** 1.5 MiB, with something to be found in the middle. */
const SENTENCE = "Every invoice is kept for ten years in the archive of the finance department. ";
const HALF = SENTENCE.repeat(Math.ceil((768 * 1024) / SENTENCE.length));
const LARGE = `${HALF}The marmalade allowance is seven jars a month. ${HALF}`;
const FILES = [
  {
    name: "leave.md",
    mimeType: "text/markdown",
    buffer: Buffer.from(
      "# Leave\n\nEveryone has **thirty** days of paid leave.\n\n## Parents\n\nParents have ninety more.\n",
    ),
  },
  { name: "archive.txt", mimeType: "text/plain", buffer: Buffer.from(LARGE) },
  { name: "blank.html", mimeType: "text/html", buffer: Buffer.from("<html><body><!-- nothing --></body></html>") },
  { name: "deep.html", mimeType: "text/html", buffer: Buffer.from("<div>".repeat(20_000)) },
  { name: "logo.png", mimeType: "image/png", buffer: Buffer.from([0x89, 0x50, 0x4e, 0x47]) },
  { name: "pretends.txt", mimeType: "text/plain", buffer: Buffer.from("PK\u0003\u0004\u0000\u0000") },
];

/** Drops files as somebody with a mouse does. */
async function drop(page: Page, files: typeof FILES): Promise<void> {
  const given = files.map(({ name, mimeType, buffer }) => ({ name, mimeType, data: buffer.toString("base64") }));
  const transfer = await page.evaluateHandle((all) => {
    const made = new DataTransfer();
    for (const { name, mimeType, data } of all) {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      made.items.add(new File([bytes], name, { type: mimeType }));
    }
    return made;
  }, given);
  await page.getByTestId("drop").dispatchEvent("drop", { dataTransfer: transfer });
}

const row = (page: Page, name: string) => page.locator(`[data-upload="${name}"]`);

describe("knowledge", () => {
  let collectionPath = "";
  const name = `Handbook ${Date.now()}`;
  beforeAll(async () => {
    const { createCollection } = await browser.client("operator").mutate(CreateCollectionDocument, { name });
    collectionPath = `/knowledge/${createCollection.id}`;
  });

  it("takes files that are dropped, small ones as text and large ones by an upload, and says what became of each", async () => {
    const page = await browser.open(collectionPath, { as: "operator" });
    await settled(page);
    const puts: string[] = [];
    const operations: string[] = [];
    page.on("request", (request) => {
      if (request.method() === "PUT") puts.push(new URL(request.url()).pathname);
      const name = /(?:mutation) (\w+)/.exec(request.postData()?.slice(0, 500) ?? "")?.[1];
      if (name !== undefined) operations.push(name);
    });
    await drop(page, FILES);
    for (const name of ["leave.md", "archive.txt", "blank.html"])
      await row(page, name).getByText("Can be found").waitFor({ timeout: 60_000 });
    await row(page, "deep.html").getByText("it is nested too deeply").waitFor();
    await row(page, "logo.png").getByText("Not a text, Markdown or HTML file.").waitFor();
    await row(page, "pretends.txt").getByText("The file is no text in UTF-8 or UTF-16.").waitFor();
    expect(puts).toHaveLength(1);
    expect(puts[0]).toMatch(/^\/uploads\//);
    expect(operations).toEqual(["KnowledgeAddDocuments", "KnowledgeCreateUpload", "KnowledgeAddDocuments"]);
    const documents = page.getByRole("region", { name: "Documents" });
    await documents.getByText("The document holds no text.").waitFor();
    await documents.getByText("it is nested too deeply").waitFor();
    await documents.getByText("Failed 1").click();
    await expect.poll(() => documents.getByRole("listitem").count()).toBe(1);
    expect(await violationsOf(page)).toEqual([]);
  });

  it("replaces a document by the file of the same name", async () => {
    const page = await browser.open(collectionPath, { as: "operator" });
    await settled(page);
    const text = "# Leave\n\nEveryone has thirty days of paid leave, and a holiday for the xylophone festival.\n";
    await page
      .locator('input[type="file"]')
      .setInputFiles([{ name: "leave.md", mimeType: "text/markdown", buffer: Buffer.from(text) }]);
    await row(page, "leave.md").getByText("Can be found").waitFor();
    await page.getByText("All 4", { exact: true }).waitFor();
    await page.getByRole("searchbox").fill("xylophone");
    await page.keyboard.press("Enter");
    await page.getByText("1 document for “xylophone”").waitFor();
  });

  it("finds a passage in the middle of a large file, opens it there, and gives the file back", async () => {
    const page = await browser.open("/knowledge", { as: "viewer" });
    await settled(page);
    await page.getByRole("searchbox").fill("marmalade allowance");
    await page.getByRole("button", { name: "Search" }).click();
    const hit = page.getByRole("listitem").filter({ hasText: "archive.txt" }).filter({ hasText: name });
    await hit.locator("mark").first().waitFor();
    expect(await hit.locator("mark").allTextContents()).toContain("marmalade");
    await hit.getByRole("link").click();
    const found = page.locator('[aria-current="location"]');
    await found.getByText("Found here").waitFor();
    await found.locator("mark", { hasText: "marmalade" }).waitFor();
    await expect
      .poll(() =>
        found.evaluate((element) => {
          const { top, bottom } = element.getBoundingClientRect();
          return bottom > 0 && top < window.innerHeight;
        }),
      )
      .toBe(true);
    await page.getByRole("button", { name: "Show what comes before" }).click();
    await expect.poll(() => page.getByText("Every invoice is kept").count()).toBeGreaterThan(3);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("archive.txt");
    expect(await readFile(await download.path(), "utf8")).toBe(LARGE);
    await page.goBack();
    await page.getByText("for “marmalade allowance”").waitFor();
  });

  it("offers whoever may only read nothing that changes anything", async () => {
    const page = await browser.open("/knowledge", { as: "viewer" });
    await settled(page);
    expect(await page.getByRole("button", { name: "New collection" }).count()).toBe(0);
    await page.goto(collectionPath);
    await page.getByRole("link", { name: "leave.md" }).waitFor();
    expect(await page.getByTestId("drop").count()).toBe(0);
    expect(await page.getByRole("checkbox").count()).toBe(0);
    expect(await page.getByRole("button", { name: "Delete the collection" }).count()).toBe(0);
  });

  it("can be used by everybody, at any width: the collections", async () => {
    await browser.checkPage("knowledge", "/knowledge", { as: "operator" });
  });

  it("can be used by everybody, at any width: a collection", async () => {
    await browser.checkPage("knowledge-collection", collectionPath, {
      as: "operator",
      prepare: (page) => page.getByRole("link", { name: "leave.md" }).waitFor(),
    });
  });

  it("can be used by everybody, at any width: what was found", async () => {
    await browser.checkPage("knowledge-search", "/knowledge?q=marmalade%20allowance", {
      as: "operator",
      prepare: (page) => page.locator("mark").first().waitFor(),
    });
  });

  it("can be read by everybody, at any width", async () => {
    const page = await browser.open(`${collectionPath}?q=marmalade`, { as: "operator" });
    const path = await page.getByRole("link", { name: /archive.txt/ }).getAttribute("href");
    await browser.checkPage("knowledge-document", path ?? "", {
      as: "operator",
      prepare: (each) => each.locator("mark").first().waitFor(),
      shows: "mark",
    });
  });

  it("creates a collection, removes documents, and deletes the collection when that is confirmed", async () => {
    const page = await browser.open("/knowledge", { as: "operator", locale: "id" });
    await settled(page);
    await page.getByRole("button", { name: "Koleksi baru" }).click();
    const trips = `Perjalanan ${Date.now()}`;
    await page.getByLabel("Nama").fill(trips);
    await page.getByRole("button", { name: "Buat" }).click();
    await page.getByRole("heading", { level: 1, name: trips }).waitFor();
    await page.getByText("Koleksi ini kosong").waitFor();
    await page.locator('input[type="file"]').setInputFiles([
      { name: "kereta.txt", mimeType: "text/plain", buffer: Buffer.from("Naik kereta.") },
      { name: "pesawat.txt", mimeType: "text/plain", buffer: Buffer.from("Naik pesawat.") },
    ]);
    for (const file of ["kereta.txt", "pesawat.txt"]) await row(page, file).getByText("Dapat ditemukan").waitFor();
    await page.getByRole("checkbox", { name: "Pilih kereta.txt" }).check();
    await page.getByRole("button", { name: "Hapus 1 dokumen" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Hapus", exact: true }).click();
    await page.getByText("1 dokumen telah dihapus").waitFor();
    await page.getByRole("link", { name: "pesawat.txt" }).waitFor();
    expect(await page.getByRole("link", { name: "kereta.txt" }).count()).toBe(0);
    await page.getByRole("button", { name: "Hapus koleksi" }).click();
    await page.getByRole("dialog").getByText(`Hapus ${trips}?`).waitFor();
    expect(await violationsOf(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("button", { name: "Batal" }).last().click();
    await page.getByRole("button", { name: "Hapus koleksi" }).click();
    await page.getByRole("button", { name: "Hapus selamanya" }).click();
    await page.getByRole("heading", { level: 1, name: "Pengetahuan" }).waitFor();
    await page.getByText(`${trips} telah dihapus`).waitFor();
    expect(await page.getByRole("link", { name: trips }).count()).toBe(0);
  });
});
