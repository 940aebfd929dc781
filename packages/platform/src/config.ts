import { z } from "zod";
import { isEgressEntry } from "./egress-policy.ts";
import { isPermission, type Permission } from "./permissions.ts";

/**
 * The one place that reads the environment. Everything is parsed at once, every problem is reported at once, and code
 * below receives what it needs as options.
 */

const optionalText = z.string().trim().min(1).optional();
const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
const list = z.string().transform((value) =>
  value
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean),
);
const postgresUrl = z.string().refine((value) => /^postgres(ql)?:\/\/.+/.test(value) && URL.canParse(value), {
  error: "must be a URL of the form postgres://user:password@host:5432/database",
});
const redisUrl = z.string().refine((value) => /^rediss?:\/\/.+/.test(value) && URL.canParse(value), {
  error: "must be a URL of the form redis://host:6379",
});
const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });

const issuersSchema = z.array(z.object({ issuer: z.string().min(1), audience: z.string().min(1), jwksUrl: httpUrl }));

function parseIssuers(value: string, context: z.RefinementCtx): z.infer<typeof issuersSchema> {
  const parsed = issuersSchema.safeParse(jsonOf(value));
  if (parsed.success) return parsed.data;
  context.addIssue('must be JSON of the form [{"issuer":"...","audience":"...","jwksUrl":"https://..."}]');
  return z.NEVER;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseSubgraphUrls(value: string, context: z.RefinementCtx): ReadonlyMap<string, string> {
  const entries = value
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean)
    .map((entry) => /^(\w+)=(.+)$/.exec(entry)?.slice(1) ?? []);
  if (entries.some(([name, url]) => name === undefined || !httpUrl.safeParse(url).success)) {
    context.addIssue("must have the form name=http://host:port, separated by commas");
    return z.NEVER;
  }
  return new Map(entries as [string, string][]);
}

/** `name=value` with commas between them. */
function parseEntries<Value>(
  form: string,
  names: readonly string[] | undefined,
  parse: (value: string) => Value | undefined,
) {
  return (text: string, context: z.RefinementCtx): ReadonlyMap<string, Value> => {
    const entries = text
      .split(",")
      .map((entry) => entry.trim())
      .filter(Boolean)
      .map((entry) => {
        const [, name = "", value = ""] = /^([^\s=]+)=(.+)$/.exec(entry) ?? [];
        return [name, name !== "" && (names?.includes(name) ?? true) ? parse(value) : undefined] as const;
      });
    if (entries.some(([, value]) => value === undefined)) {
      const known = names ? `; names are ${names.join(", ")}` : "";
      context.addIssue(`must have the form ${form}, separated by commas${known}`);
      return z.NEVER;
    }
    return new Map(entries as [string, Value][]);
  };
}

const LIMIT_NAMES = [
  "maxBodyBytes",
  "maxBodyBytesUnderWay",
  "maxAnonymousBodyBytes",
  "maxMessageBytes",
  "maxQueryBytes",
  "maxTokens",
  "maxDepth",
  "maxAliases",
  "maxRootFields",
  "maxDirectives",
  "maxFields",
  "maxBatch",
  "maxCost",
  "assumedListSize",
  "maxSocketOperations",
  "connectionsPerTenant",
  "connectionsPerPrincipal",
  "connectionsPerAddress",
  "subscriptionsPerTenant",
  "subscriptionsPerPrincipal",
  "subscriptionsPerAddress",
] as const;
const RATE_LIMIT_NAMES = ["tenant", "principal", "operation", "address", "connect", "cost"] as const;

function parseCount(text: string): number | undefined {
  return /^[1-9]\d{0,12}$/.test(text) ? Number(text) : undefined;
}

function parsePermissions(text: string): readonly Permission[] | undefined {
  const names = text.split("+").map((name) => name.trim());
  return names.every(isPermission) ? names : undefined;
}

/** `600/10s`, `20/1m`. */
function parseRate(text: string): { readonly quota: number; readonly windowMs: number } | undefined {
  const [, quota, window, unit] = /^([1-9]\d{0,9})\/([1-9]\d{0,4})([smh])$/.exec(text) ?? [];
  if (quota === undefined || window === undefined || unit === undefined) return undefined;
  return {
    quota: Number(quota),
    windowMs: Number(window) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"],
  };
}

const environmentSchema = z.object({
  NODE_ENV: z.enum(["development", "test", "production"]).default("development"),
  HOST: z.string().min(1).default("127.0.0.1"),
  /** 0 picks a free port. */
  PORT: wholeNumber(0, 65_535).default(4000),
  DATA_DIR: z.string().min(1).default(".data"),
  /** The outside address of the gateway, for links it hands out. */
  PUBLIC_URL: httpUrl.optional(),
  /** Internal tokens, links and the local issuer's keys derive from it. Made and kept in DATA_DIR when absent outside production. */
  SECRET_KEY: z.string().min(32, "must have at least 32 characters").optional(),
  /** Former values of SECRET_KEY, with commas between them: what they made is still understood. */
  SECRET_KEY_PREVIOUS: list
    .refine((keys) => keys.every((key) => key.length >= 32), {
      error: "must be keys of at least 32 characters with commas between them",
    })
    .default([]),
  DATABASE_URL: postgresUrl.optional(),
  DATABASE_SYSTEM_URL: postgresUrl.optional(),
  DATABASE_ADMIN_URL: postgresUrl.optional(),
  DATABASE_POOL_SIZE: wholeNumber(1, 200).default(10),
  REDIS_URL: redisUrl.optional(),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl.optional(),
  OTEL_SERVICE_NAME: optionalText,
  OPENAI_API_KEY: optionalText,
  OPENAI_BASE_URL: httpUrl.default("https://api.openai.com/v1"),
  OPENAI_MODEL: z.string().min(1).default("gpt-4.1-mini"),
  OPENAI_EMBEDDING_MODEL: optionalText,
  /** What an unlisted model takes in at once, in tokens; the table of window.ts when absent. */
  OPENAI_WINDOW_TOKENS: wholeNumber(1_000, 10_000_000).optional(),
  /** How long a model is waited for: until its first token, between two, and for a whole turn. */
  MODEL_FIRST_TOKEN_TIMEOUT_MS: wholeNumber(100, 3_600_000).default(120_000),
  MODEL_TOKEN_TIMEOUT_MS: wholeNumber(100, 3_600_000).default(30_000),
  MODEL_TURN_TIMEOUT_MS: wholeNumber(100, 3_600_000).default(600_000),
  BLOB_S3_BUCKET: optionalText,
  BLOB_S3_ENDPOINT: httpUrl.optional(),
  BLOB_S3_REGION: z.string().min(1).default("us-east-1"),
  BLOB_S3_ACCESS_KEY_ID: optionalText,
  BLOB_S3_SECRET_ACCESS_KEY: optionalText,
  /** The largest file that may be uploaded to become a document. */
  UPLOAD_MAX_BYTES: wholeNumber(1, 1_073_741_824).default(33_554_432),
  /** Uploads of one tenant that have not become documents yet. */
  UPLOAD_MAX_PENDING: wholeNumber(1, 100_000).default(200),
  /** Hosts that tools and providers may call, with commas between them: api.example.com, *.example.com, host:8443, private:name. */
  EGRESS_ALLOWED_HOSTS: list
    .refine((hosts) => hosts.every(isEgressEntry), {
      error:
        "must be hosts with commas between them, as api.example.com, *.example.com, api.example.com:8443 or private:minio",
    })
    .default([]),
  /** The supergraph's file, followed while it is served; that of `schema/` when absent. */
  SUPERGRAPH: optionalText,
  /** Of the split deployment: where each subgraph is, `identity=http://identity:4001,billing=...`; the supergraph's own URLs when absent. */
  SUBGRAPH_URLS: z.string().default("").transform(parseSubgraphUrls),
  /** How long each is waited for, `knowledge=60000,*=10000`; 30 s when absent. */
  SUBGRAPH_TIMEOUTS_MS: z
    .string()
    .default("")
    .transform(parseEntries("name=milliseconds, or * for all others", undefined, parseCount)),
  /** `off` lets anybody in and demands nothing: a gateway alone before somebody else's subgraphs. */
  AUTH: z.enum(["on", "off"]).default("on"),
  /** `only` answers no document but those of schema/documents. */
  TRUSTED_DOCUMENTS: z.enum(["any", "only"]).default("any"),
  /** Who may read the schema: everyone in development, nobody in production, unless it is said. */
  INTROSPECTION: z.enum(["everyone", "members", "nobody"]).optional(),
  /** What an operation may be, by the names of the gateway's `Limits`: `maxDepth=12,maxCost=20000`. */
  LIMITS: z
    .string()
    .default("")
    .transform(parseEntries("name=number", LIMIT_NAMES, parseCount)),
  /** How often and how much may be asked, `principal=600/10s,cost=500000/1m`. */
  RATE_LIMITS: z
    .string()
    .default("")
    .transform(parseEntries("name=number/window", RATE_LIMIT_NAMES, parseRate)),
  /** What the supergraph's @policy of a name asks for: permissions, all of them, `auditor=audit:read+usage:read`. One that is not here holds for nobody. */
  POLICIES: z
    .string()
    .default("")
    .transform(parseEntries("name=permission+permission", undefined, parsePermissions)),
  /** Addresses of proxies whose `X-Forwarded-For` is believed, with commas between them. */
  TRUSTED_PROXIES: list.default([]),
  /** Issuers of tokens beside the local one, as JSON: `[{"issuer","audience","jwksUrl"}]`. */
  TRUSTED_ISSUERS: z.string().default("[]").transform(parseIssuers),
  /** Origins whose pages may call the API from a browser. */
  ALLOWED_ORIGINS: z
    .string()
    .default("")
    .transform((value) =>
      value
        .split(",")
        .map((origin) => origin.trim())
        .filter(Boolean),
    ),
  /** Where a worker shows `/metrics`, on HOST; 0 is nowhere. Gateways and subgraphs show their own where they listen. */
  METRICS_PORT: wholeNumber(0, 65_535).default(0),
  WORKER_CONCURRENCY: wholeNumber(1, 500).default(32),
});

/** Every variable that is read, for `.env.example`. */
export const VARIABLE_NAMES: readonly string[] = Object.keys(environmentSchema.shape);

export type Config = Readonly<z.infer<typeof environmentSchema>>;

/** Every problem of the environment, one sentence each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The environment is not valid:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Reads the configuration. @throws ConfigError naming every problem. */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  // A variable set to nothing is a variable not set: compose files and shells write it so.
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value.trim() !== ""),
  );
  const parsed = environmentSchema.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  problems.push(...crossFieldProblems(given));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return parsed.data;
}

/** What variables ask of one another; judged by what is set, so that these problems show beside those of single values. */
function crossFieldProblems(given: NodeJS.ProcessEnv): string[] {
  const isSet = (...names: string[]): boolean => names.every((name) => given[name] !== undefined);
  const isSetOne = (...names: string[]): boolean => names.some((name) => given[name] !== undefined);
  const rules: readonly (readonly [broken: boolean, problem: string])[] = [
    [given["NODE_ENV"] === "production" && !isSet("SECRET_KEY"), "SECRET_KEY: is required when NODE_ENV is production"],
    [
      isSet("DATABASE_URL") && !isSetOne("DATABASE_SYSTEM_URL", "DATABASE_ADMIN_URL"),
      "DATABASE_SYSTEM_URL or DATABASE_ADMIN_URL: one is required beside DATABASE_URL (docs/runbooks/database-roles.md)",
    ],
    [
      isSet("DATABASE_SYSTEM_URL") && !isSetOne("DATABASE_URL", "DATABASE_ADMIN_URL"),
      "DATABASE_URL: is required beside DATABASE_SYSTEM_URL (docs/runbooks/database-roles.md)",
    ],
    [
      isSet("BLOB_S3_BUCKET") && !isSet("BLOB_S3_ACCESS_KEY_ID", "BLOB_S3_SECRET_ACCESS_KEY"),
      "BLOB_S3_ACCESS_KEY_ID, BLOB_S3_SECRET_ACCESS_KEY: are required beside BLOB_S3_BUCKET",
    ],
    [
      isSetOne("BLOB_S3_ACCESS_KEY_ID", "BLOB_S3_SECRET_ACCESS_KEY", "BLOB_S3_ENDPOINT") && !isSet("BLOB_S3_BUCKET"),
      "BLOB_S3_BUCKET: is required beside the other BLOB_S3 variables",
    ],
    [given["NODE_ENV"] === "production" && given["AUTH"] === "off", "AUTH: cannot be off when NODE_ENV is production"],
    [isSet("SECRET_KEY_PREVIOUS") && !isSet("SECRET_KEY"), "SECRET_KEY: is required beside SECRET_KEY_PREVIOUS"],
  ];
  return rules.filter(([broken]) => broken).map(([, problem]) => problem);
}
