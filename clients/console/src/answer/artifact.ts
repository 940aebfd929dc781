import type { ApolloClient } from "@apollo/client";
import { AnswerArtifactDocument } from "../generated/answer/graphql.ts";

export interface Artifact {
  readonly id: string;
  readonly name: string;
  readonly mediaType: string;
  readonly sizeBytes: string;
}

/** A link ends after minutes: it is asked for when somebody clicks. Its host may be another name of this one. */
export async function linkTo(apollo: ApolloClient, { id }: Artifact): Promise<string> {
  const { data } = await apollo.query({
    query: AnswerArtifactDocument,
    variables: { id },
    fetchPolicy: "network-only",
  });
  if (data?.node?.__typename !== "Artifact") throw new Error("The file is no longer there.");
  return new URL(data.node.downloadUrl).pathname;
}

type Kind = "markdown" | "text" | "image";

/** How it can be shown; undefined for what can only be downloaded. */
export function kindOf(mediaType: string): Kind | undefined {
  if (mediaType === "text/markdown") return "markdown";
  if (/^image\/(png|jpeg|gif|webp)$/.test(mediaType)) return "image";
  // As text, HTML too: nothing that a run wrote is rendered as a page of ours.
  return mediaType.startsWith("text/") || mediaType === "application/json" ? "text" : undefined;
}
