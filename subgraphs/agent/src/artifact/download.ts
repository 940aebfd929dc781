import { AppError } from "@sba/platform/errors";
import { isUuid } from "@sba/platform/ids";
import { secretErrors, signLink, verifyLink } from "@sba/platform/secrets";
import type { Route, RouteResponse } from "@sba/platform/server";
import { z } from "zod";
import { toPublicUrl } from "@sba/platform/public-url";
import { findArtifacts, type Artifact } from "./artifact.ts";
import { blobStore } from "@sba/platform/blobs";
import { artifactErrors } from "./errors.ts";

/** Links to artifacts: whoever holds one may download that artifact until it expires, without credentials. */

const PURPOSE = "artifact";
const uuid = z.string().refine(isUuid);
const linkPayload = z.object({ tenantId: uuid, artifactId: uuid });

/** A link to the artifact's bytes that ends by itself. `expiresInSeconds`: 1 to 604,800. */
export function downloadUrl({ tenantId, id }: Pick<Artifact, "tenantId" | "id">, expiresInSeconds: number): string {
  const expiresAt = new Date(Date.now() + expiresInSeconds * 1_000);
  return toPublicUrl(`/artifacts/${signLink(PURPOSE, { tenantId, artifactId: id }, expiresAt)}`);
}

/** `GET /artifacts/:signed`. */
export const artifactRoute: Route = {
  method: "GET",
  path: "/artifacts/:signed",
  handle: ({ params }) => download(params["signed"] ?? ""),
};

/** @throws LINK_EXPIRED, AGENT_ARTIFACT_NOT_FOUND for anything else than a link of ours to an artifact that exists. */
async function download(signed: string): Promise<RouteResponse> {
  const { tenantId, artifactId } = readLink(signed);
  const [artifact] = await findArtifacts({ tenantId }, [artifactId]);
  const body = artifact && (await blobStore().find(artifact.blobKey));
  if (!artifact || !body) throw artifactErrors.AGENT_ARTIFACT_NOT_FOUND();
  return { status: 200, headers: headersOf(artifact), body };
}

function readLink(signed: string): z.infer<typeof linkPayload> {
  try {
    return linkPayload.parse(verifyLink(PURPOSE, signed));
  } catch (thrown) {
    // One answer for a forged link and for none: whoever guesses learns nothing.
    const expired = thrown instanceof AppError && thrown.code === secretErrors.LINK_EXPIRED().code;
    throw expired ? thrown : artifactErrors.AGENT_ARTIFACT_NOT_FOUND({ cause: thrown });
  }
}

/** What a model wrote is never shown as part of this site: saved, not sniffed, and without scripts or an origin if opened all the same. */
function headersOf({ name, mediaType, sizeBytes }: Artifact): Record<string, string> {
  return {
    "content-type": `${mediaType}; charset=utf-8`,
    "content-length": String(sizeBytes),
    "content-disposition": `attachment; filename*=UTF-8''${encodeFileName(name)}`,
    "content-security-policy": "sandbox",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
  };
}

/** RFC 8187 section 3.2.1: what encodeURIComponent leaves and attr-char does not have is encoded too. */
function encodeFileName(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
