import { serveParent } from "./child.ts";

serveParent({
  double: (number: number) => ({ number: number * 2, map: new Map([["kept", 1n]]) }),
  fail: () => {
    throw new RangeError("as asked");
  },
  die: () => process.exit(3),
});
