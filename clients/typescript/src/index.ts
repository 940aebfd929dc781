export { createClient, type Client, type ClientOptions, type RequestOptions, type SubscribeOptions } from "./client.ts";
export { ApiError } from "./errors.ts";
export type { Token } from "./token.ts";
export * from "./generated/graphql.ts";
