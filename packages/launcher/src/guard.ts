import { spawn } from "node:child_process";
import { Socket } from "node:net";

// The shell waits for the end of a pipe to us, which comes when we die, however we die.
const WATCH = `read -r _; kill "-$2" "$1"; while kill -0 "$1"; do sleep 0.1; done; rm -rf "$3"`;

/**
 * Ends a process and removes its folder when this process dies without having done so itself: for what tests start, which
 * nobody shall have to clear away after them. Returns how to call it off.
 */
export function guard(pid: number, signal: "INT" | "TERM", folder: string): () => void {
  const watcher = spawn("/bin/sh", ["-c", WATCH, "sh", String(pid), signal, folder], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Neither the watcher nor its pipe is a reason for this process to stay.
  watcher.unref();
  if (watcher.stdin instanceof Socket) watcher.stdin.unref();
  return () => {
    watcher.kill("SIGKILL");
  };
}
