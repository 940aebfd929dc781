import { requirePermission } from "@sba/platform/caller";
import { callerOf, defineListLoader, defineLoader } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { findArtifacts, listArtifacts, type Artifact } from "./artifact.ts";
import { downloadUrl } from "./download.ts";
import { artifactErrors } from "./errors.ts";

const SEVEN_DAYS_SECONDS = 7 * 24 * 60 * 60;

export const artifactById = defineLoader(findArtifacts, (artifact) => artifact.id);
export const artifactsOfRun = defineListLoader(listArtifacts, (artifact) => artifact.runId);

export const ArtifactRef = builder.objectRef<Artifact>("Artifact");

builder.asEntity(ArtifactRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: async ({ id }, context) => {
    requirePermission(callerOf(context), "run:read");
    const artifact = await artifactById(context).load(decodeId("Artifact", id));
    if (!artifact) throw artifactErrors.AGENT_ARTIFACT_NOT_FOUND();
    return artifact;
  },
});

ArtifactRef.implement({
  description: "A file that a run wrote.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Artifact", id) }),
    name: t.exposeString("name", { description: "A file name." }),
    mediaType: t.exposeString("mediaType"),
    sizeBytes: t.field({ type: "BigInt", resolve: ({ sizeBytes }) => sizeBytes }),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
    downloadUrl: t.string({
      description: "A link to the file that needs no credentials and ends by itself.",
      authScopes: { permission: "run:read" },
      args: {
        expiresInSeconds: t.arg.int({
          required: true,
          defaultValue: 300,
          validate: { min: 1, max: SEVEN_DAYS_SECONDS },
        }),
      },
      resolve: (artifact, { expiresInSeconds }) => downloadUrl(artifact, expiresInSeconds),
    }),
  }),
});
