import type { Page } from "playwright-core";

/** In place of the run's own events, as many as nobody would wait for; everything else is the system's. */
export async function giveEvents(page: Page, count: number): Promise<void> {
  await page.addInitScript((all) => {
    const eventOf = (seq: number): object => {
      const at = new Date(Date.UTC(2026, 0, 1) + seq * 20).toISOString();
      const number = Math.ceil(seq / 500);
      const what =
        seq % 500 === 1
          ? { __typename: "StepStarted", step: { number, type: "MODEL", startedAt: at } }
          : { __typename: "TokenDelta", stepNumber: number, text: `word ${seq} of it.${seq % 9 ? " " : "\n"}` };
      return { cursor: `c${seq}`, seq, at, level: "INFO", ...what };
    };
    const prototype = WebSocket.prototype as { send(this: WebSocket, data: string): void };
    const { send } = prototype;
    prototype.send = function (data) {
      const message = JSON.parse(data) as { id?: string; type: string; payload?: { query?: string } };
      if (message.type !== "subscribe" || !message.payload?.query?.includes("subscription RunLive")) {
        send.call(this, data);
        return;
      }
      const give = (frame: object): void => {
        this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ id: message.id, ...frame }) }));
      };
      for (let seq = 1; seq <= all; seq++) give({ type: "next", payload: { data: { runEvents: eventOf(seq) } } });
      give({ type: "complete" });
    };
  }, count);
}
