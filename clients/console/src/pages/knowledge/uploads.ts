import type { ApolloClient } from "@apollo/client";
import { NetworkError, toApiError, type Observable } from "@sba/client";
import { KnowledgeAddDocumentsDocument, KnowledgeCreateUploadDocument } from "../../generated/knowledge/graphql.ts";
import { mediaTypeOf, readText, sha256Of, type Limits } from "./files.ts";
import { putFile } from "./put-file.ts";

/**
 * Files on their way into collections. They go on while somebody looks at other pages: small ones together, as text; each larger one
 * by `createUpload` and a PUT.
 */

/** Why a file was not sent. */
type Refusal = "refusedType" | "refusedEmpty" | "refusedSize" | "notText";

export interface FileUpload {
  readonly id: string;
  readonly collectionId: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly state:
    | { readonly step: "WAITING" }
    | { readonly step: "SENDING"; readonly share: number }
    /** The ingestion says what becomes of it. */
    | { readonly step: "SENT"; readonly ingestionId: string }
    | { readonly step: "REFUSED"; readonly why: Refusal }
    | { readonly step: "FAILED"; readonly error: unknown };
}

export interface Uploads extends Observable<readonly FileUpload[]> {
  add(collectionId: string, files: readonly File[], limits: Limits): void;
  /** One that failed. */
  retry(id: string): void;
  /** Takes one that is on its way from it, and from the list. */
  stop(id: string): void;
  /** Takes those from the list. */
  forget(ids: readonly string[]): void;
}

/** Documents of one request, and how much text. */
const BATCH_FILES = 25;
const BATCH_BYTES = 4 * 1024 * 1024;
const MIB = 1024 * 1024;

interface Job {
  readonly file: File;
  readonly mediaType: string;
  readonly limits: Limits;
  readonly aborting: AbortController;
  /** The same for every attempt: what was done and not heard of is not done again. */
  readonly key: string;
}

const all = new WeakMap<ApolloClient, Uploads>();

/** Those of one principal: the client is another one for another. */
export function uploadsOf(apollo: ApolloClient): Uploads {
  const uploads = all.get(apollo) ?? openUploads(apollo);
  all.set(apollo, uploads);
  return uploads;
}

function openUploads(apollo: ApolloClient): Uploads {
  const listeners = new Set<() => void>();
  const jobs = new Map<string, Job>();
  let list: readonly FileUpload[] = [];
  let isWorking = false;
  const show = (next: readonly FileUpload[]): void => {
    list = next;
    for (const listener of listeners) listener();
  };
  const set = (ids: readonly string[], state: FileUpload["state"]): void => {
    show(list.map((each) => (ids.includes(each.id) ? { ...each, state } : each)));
  };

  const forget = (ids: readonly string[]): void => {
    for (const id of ids) jobs.delete(id);
    show(list.filter(({ id }) => !ids.includes(id)));
  };

  const work = async (): Promise<void> => {
    if (isWorking) return;
    isWorking = true;
    for (let batch = nextBatch(); batch.length > 0; batch = nextBatch()) await send(batch);
    isWorking = false;
  };

  /** The first that waits, and those small ones after it that go with it. */
  const nextBatch = (): readonly FileUpload[] => {
    const waiting = list.filter(({ state }) => state.step === "WAITING");
    const [first] = waiting;
    if (!first || !isSmall(first)) return first ? [first] : [];
    let bytes = 0;
    return waiting
      .filter((each) => each.collectionId === first.collectionId && isSmall(each))
      .slice(0, BATCH_FILES)
      .filter(({ sizeBytes }) => (bytes += sizeBytes) <= BATCH_BYTES);
  };
  const isSmall = ({ id, sizeBytes }: FileUpload): boolean =>
    sizeBytes <= Math.min(jobs.get(id)?.limits.maxTextBytes ?? MIB, MIB);

  const send = async (batch: readonly FileUpload[]): Promise<void> => {
    const ids = batch.map(({ id }) => id);
    set(ids, { step: "SENDING", share: 0 });
    const [first] = batch;
    if (!first) return;
    try {
      if (isSmall(first)) await sendTexts(batch);
      else await sendFile(first);
    } catch (error) {
      const left = ids.filter((id) => list.find((each) => each.id === id)?.state.step === "SENDING");
      set(left, { step: "FAILED", error });
    }
  };

  const sendTexts = async (batch: readonly FileUpload[]): Promise<void> => {
    const documents: object[] = [];
    const sent: FileUpload[] = [];
    for (const each of batch) {
      const job = jobs.get(each.id);
      const text = job && (await readText(job.file));
      if (text === undefined) set([each.id], { step: "REFUSED", why: "notText" });
      else {
        sent.push(each);
        documents.push({ ...labelsOf(each), text, mediaType: job?.mediaType });
      }
    }
    if (sent.length > 0) await addDocuments(sent, documents);
  };

  const sendFile = async (upload: FileUpload): Promise<void> => {
    const job = jobs.get(upload.id);
    if (!job) return;
    const { file, mediaType, key, aborting } = job;
    const { data } = await apollo.mutate({
      mutation: KnowledgeCreateUploadDocument,
      variables: {
        fileName: file.name,
        mediaType,
        sizeBytes: file.size,
        sha256: await sha256Of(file),
        idempotencyKey: key,
      },
    });
    if (!data) return;
    const { upload: created, request } = data.createUpload;
    await putFile(request, file, {
      signal: aborting.signal,
      onProgress: (share) => {
        set([upload.id], { step: "SENDING", share });
      },
    });
    await addDocuments([upload], [{ ...labelsOf(upload), uploadId: created.id }]);
  };

  const addDocuments = async (sent: readonly FileUpload[], documents: readonly object[]): Promise<void> => {
    const ids = sent.map(({ id }) => id);
    const [first] = sent;
    const { data } = await apollo.mutate({
      mutation: KnowledgeAddDocumentsDocument,
      variables: {
        collectionId: first?.collectionId ?? "",
        documents: documents as [],
        idempotencyKey: ids.map((id) => jobs.get(id)?.key.slice(0, 8)).join(""),
      },
    });
    if (data) set(ids, { step: "SENT", ingestionId: data.addDocuments.ingestion.id });
  };

  return {
    get: () => list,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add: (collectionId, files, limits) => {
      const added = files.map((file): FileUpload => {
        const id = crypto.randomUUID();
        const mediaType = mediaTypeOf(file, limits);
        jobs.set(id, { file, mediaType: mediaType ?? "", limits, aborting: new AbortController(), key: id });
        const why = refusalOf(file, mediaType, limits);
        const name = file.webkitRelativePath === "" ? file.name : file.webkitRelativePath;
        const state: FileUpload["state"] = why === undefined ? { step: "WAITING" } : { step: "REFUSED", why };
        return { id, collectionId, name, sizeBytes: file.size, state };
      });
      show([...list, ...added]);
      void work();
    },
    retry: (id) => {
      const job = jobs.get(id);
      const state = list.find((each) => each.id === id)?.state;
      if (!job || state?.step !== "FAILED") return;
      // Nobody knows what became of what was not answered; what was refused is asked for anew.
      const key = toApiError(state.error) instanceof NetworkError ? job.key : crypto.randomUUID();
      jobs.set(id, { ...job, key });
      set([id], { step: "WAITING" });
      void work();
    },
    stop: (id) => {
      jobs.get(id)?.aborting.abort();
      forget([id]);
    },
    forget,
  };
}

/** A file is known by its name: the same one again is the same document, with what is in it now. */
function labelsOf({ name }: FileUpload): { readonly title: string; readonly externalId: string } {
  return { title: name, externalId: name };
}

function refusalOf(file: File, mediaType: string | undefined, limits: Limits): Refusal | undefined {
  if (mediaType === undefined) return "refusedType";
  if (file.size === 0) return "refusedEmpty";
  return file.size > limits.maxBytes ? "refusedSize" : undefined;
}
