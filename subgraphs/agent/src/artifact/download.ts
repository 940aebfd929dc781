import { attachmentHeaders } from "@sba/platform/attachment";
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
  return { status: 200, headers: attachmentHeaders(artifact), body };
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
