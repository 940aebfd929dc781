/** The one catalogue of permissions, `resource:action`. If you add one, this is the place; roles are in identity/role.ts. */
export const PERMISSIONS = {
  "tenant:read": "See the tenant and its plan.",
  "tenant:manage": "Change the tenant's settings.",
  "member:read": "See who belongs to the tenant.",
  "member:manage": "Invite, change and remove members.",
  "apikey:manage": "Create and revoke API keys.",
  "audit:read": "Read the audit log.",
  "usage:read": "Read metered usage and its cost.",
  "budget:read": "See budgets and what is left of them.",
  "budget:write": "Set and remove budgets, and what happens when a quota is used up.",
  "integration:read": "See connections and tools.",
  "integration:manage": "Connect and disconnect providers and webhook endpoints.",
  "webhook:send": "Let a run send data to the tenant's webhook endpoints.",
  "knowledge:read": "Search collections and read documents.",
  "knowledge:write": "Create collections, add and remove documents.",
  "agent:read": "See agents and their versions.",
  "agent:manage": "Create agents and publish versions.",
  "run:read": "See runs, their events and artifacts.",
  "run:start": "Start and continue runs.",
  "run:cancel": "Cancel, pause and resume runs.",
  "run:operate": "Replay dead letters.",
  "toolcall:resolve": "Say what became of tool calls whose outcome is unknown.",
  "document:render": "Let a run write artifacts.",
  "task:read": "See tasks.",
  "task:create": "Let a run create tasks.",
  "note:read": "See what agents remember, and let a run read it.",
  "note:write": "Let a run remember something, and make agents forget it.",
  "approval:read": "See approvals.",
  "approval:decide": "Approve or deny what a run asks for.",
  "approval:manage": "Set approval policies.",
  "workflow:read": "See workflows and their runs.",
  "workflow:start": "Start and cancel workflow runs.",
  "workflow:manage": "Define workflows.",
} as const;

export type Permission = keyof typeof PERMISSIONS;

/** Every permission, in the catalogue's order. */
export const ALL_PERMISSIONS = Object.keys(PERMISSIONS) as readonly Permission[];

export function isPermission(value: string): value is Permission {
  return Object.hasOwn(PERMISSIONS, value);
}
