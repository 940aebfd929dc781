import { supervise } from "@sba/launcher/supervisor";

/** `npm start`: the whole system on this machine, until Ctrl-C. */
await supervise(process.argv.slice(2));
