import { request, type Agent } from "node:http";

export interface Post {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
  readonly agent: Agent;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** One POST of JSON, with as little around it as there can be: what a client computes is taken from who is measured. */
export function post({ url, headers = {}, body, agent }: Post): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      method: "POST",
      agent,
      headers: { "content-type": "application/json", ...headers, "content-length": Buffer.byteLength(body) },
    };
    const sent = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
