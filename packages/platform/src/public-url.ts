let publicUrl = "";

/** Sets where this platform is reached from outside; without it links are paths on the gateway's own address. */
export function usePublicUrl(url: string | undefined): void {
  publicUrl = url?.replace(/\/+$/, "") ?? "";
}

/** A path of this platform as people outside open it. */
export function toPublicUrl(path: string): string {
  return `${publicUrl}${path}`;
}

/** The same for a WebSocket. */
export function toPublicSocketUrl(path: string): string {
  return toPublicUrl(path).replace(/^http/, "ws");
}
