import { apiErrorOf, networkError } from "@sba/client";

interface UploadRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

interface PutOptions {
  readonly signal: AbortSignal;
  /** 0 to 1. */
  readonly onProgress: (share: number) => void;
}

// A bucket has these bytes already: an earlier attempt came through, and its answer did not.
const STORED_BEFORE = 412;

/** Sends a file where it is to go. `fetch` does not say how far it is. @throws ApiError, and AbortError when it was stopped */
export function putFile(
  { method, url, headers }: UploadRequest,
  file: File,
  { signal, onProgress }: PutOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const { name, value } of headers) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      onProgress(total === 0 ? 0 : loaded / total);
    };
    request.onload = () => {
      if ((request.status >= 200 && request.status < 300) || request.status === STORED_BEFORE) resolve();
      else reject(errorOf(request));
    };
    request.onerror = () => {
      reject(networkError("The file could not be sent."));
    };
    request.onabort = () => {
      reject(new DOMException("Stopped.", "AbortError"));
    };
    signal.addEventListener("abort", () => {
      request.abort();
    });
    request.send(file);
  });
}

function errorOf({ status, responseText }: XMLHttpRequest): Error {
  try {
    const { errors } = JSON.parse(responseText) as { errors?: Parameters<typeof apiErrorOf>[0] };
    if (errors) return apiErrorOf(errors);
  } catch {
    // Another store's answer is no JSON.
  }
  return networkError(`The file was refused (${status}).`);
}
