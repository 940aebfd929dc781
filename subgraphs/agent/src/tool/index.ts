import { integrationTools, type Tool } from "@sba/integrations/index";
import { knowledgeTools } from "@sba/knowledge/index";
import { agentDelegate } from "./agent-delegate.ts";
import { documentRender } from "./document-render.ts";
import { memoryRead } from "./memory-read.ts";
import { memoryWrite } from "./memory-write.ts";
import { taskCreate } from "./task-create.ts";

/** Every tool of the platform. To add one, add a line; the contract suite runs over the whole array. */
export const tools: readonly Tool[] = [
  ...knowledgeTools,
  documentRender,
  taskCreate,
  memoryWrite,
  memoryRead,
  agentDelegate,
  ...integrationTools,
];

const byName = new Map(tools.map((tool) => [tool.name, tool]));

/** The tool of this name, if there is one. */
export function findTool(name: string): Tool | undefined {
  return byName.get(name);
}
