import { readUsage, type UsageGranularity, type UsageReport } from "@sba/client";
import { useClient } from "@sba/client/react";
import { useCallback, useEffect, useState } from "react";
import type { Split } from "./series.ts";
import type { Span } from "./span.ts";

interface UsageResult {
  /** Of what was asked for before, while another answer comes. */
  readonly report: UsageReport | undefined;
  readonly isLoading: boolean;
  readonly error: unknown;
  readonly reload: () => void;
}

/** All rows of a span; whoever asks for another span hears no more of the one before. */
export function useUsage({ from, to }: Span, granularity: UsageGranularity, split: Split): UsageResult {
  const client = useClient();
  const [round, setRound] = useState(0);
  const [state, setState] = useState<Omit<UsageResult, "reload">>({
    report: undefined,
    isLoading: true,
    error: undefined,
  });
  const window = JSON.stringify({
    from: from.toISOString(),
    to: to.toISOString(),
    granularity,
    groupBy: split === "agent" ? ["AGENT", "METER"] : ["METER"],
  });
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...before, isLoading: true, error: undefined }));
    readUsage(client, JSON.parse(window) as Parameters<typeof readUsage>[1], abort.signal).then(
      (report) => {
        if (!abort.signal.aborted) setState({ report, isLoading: false, error: undefined });
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setState((before) => ({ ...before, isLoading: false, error }));
      },
    );
    return () => {
      abort.abort();
    };
  }, [client, window, round]);
  const reload = useCallback(() => {
    setRound((before) => before + 1);
  }, []);
  return { ...state, reload };
}
