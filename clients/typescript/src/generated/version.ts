/** The hash of the supergraph that this client was made for. */
export const API_VERSION: string = "2q2GzG_myfNFtvww";
/** What the client calls itself: the documents that it was released with are registered under this name. */
export const CLIENT: Readonly<Record<"name" | "version", string>> = { name: "@sba/client", version: "0.1.0" };
