import { entityStub } from "@sba/platform/graphql";
import { builder } from "./builder.ts";

/** Entities of lower domains that runs refer to; the gateway joins what their owners know. */
export const TenantStub = entityStub(builder, "Tenant");
export const PrincipalStub = entityStub(builder, "Principal");
export const DocumentStub = entityStub(builder, "Document");
export const ChunkStub = entityStub(builder, "Chunk");
