import { describe, expect, it } from "vitest";
import { ConfigError, loadConfig } from "./config.ts";

const KEY = "k".repeat(32);
const POSTGRES = "postgres://app:secret@db:5432/sba";

function problemsOf(environment: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe("the configuration", () => {
  it("needs nothing: every default is usable as it is", () => {
    expect(loadConfig({})).toEqual({
      NODE_ENV: "development",
      HOST: "127.0.0.1",
      PORT: 4000,
      DATA_DIR: ".data",
      SECRET_KEY_PREVIOUS: [],
      DATABASE_POOL_SIZE: 10,
      LOG_LEVEL: "info",
      OPENAI_BASE_URL: "https://api.openai.com/v1",
      OPENAI_MODEL: "gpt-4.1-mini",
      MODEL_FIRST_TOKEN_TIMEOUT_MS: 120_000,
      MODEL_TOKEN_TIMEOUT_MS: 30_000,
      MODEL_TURN_TIMEOUT_MS: 600_000,
      BLOB_S3_REGION: "us-east-1",
      UPLOAD_MAX_BYTES: 33_554_432,
      UPLOAD_MAX_PENDING: 200,
      EGRESS_ALLOWED_HOSTS: [],
      WORKER_CONCURRENCY: 32,
      ALLOWED_ORIGINS: [],
      TRUSTED_ISSUERS: [],
      SUBGRAPH_URLS: new Map(),
      SUBGRAPH_TIMEOUTS_MS: new Map(),
      AUTH: "on",
      TRUSTED_DOCUMENTS: "any",
      LIMITS: new Map(),
      RATE_LIMITS: new Map(),
      POLICIES: new Map(),
      METRICS_PORT: 0,
      TRUSTED_PROXIES: [],
    });
  });

  it("takes a variable set to nothing for one not set", () => {
    const empty = Object.fromEntries(
      ["PORT", "REDIS_URL", "SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "NODE_ENV", "BLOB_S3_BUCKET"].map(
        (name) => [name, ""],
      ),
    );
    expect(loadConfig(empty)).toEqual(loadConfig({}));
    expect(loadConfig({ ...empty, PORT: "   " })).toEqual(loadConfig({}));
  });

  it("lets nobody turn authentication off in production", () => {
    expect(problemsOf({ NODE_ENV: "production", SECRET_KEY: KEY, AUTH: "off" })).toEqual([
      "AUTH: cannot be off when NODE_ENV is production",
    ]);
  });

  it("reads limits by their names, and says which names there are", () => {
    const config = loadConfig({
      LIMITS: "maxDepth=12, maxCost=20000",
      RATE_LIMITS: "principal=600/10s,cost=500000/1m",
      SUBGRAPH_TIMEOUTS_MS: "knowledge=60000,*=10000",
      POLICIES: "auditor=audit:read+usage:read, eu.reader=run:read",
    });
    expect(config.POLICIES).toEqual(
      new Map([
        ["auditor", ["audit:read", "usage:read"]],
        ["eu.reader", ["run:read"]],
      ]),
    );
    expect(problemsOf({ POLICIES: "auditor=audit:read+sing" })).toEqual([expect.stringContaining("POLICIES: must")]);
    expect(config.LIMITS).toEqual(
      new Map([
        ["maxDepth", 12],
        ["maxCost", 20_000],
      ]),
    );
    expect(config.RATE_LIMITS).toEqual(
      new Map([
        ["principal", { quota: 600, windowMs: 10_000 }],
        ["cost", { quota: 500_000, windowMs: 60_000 }],
      ]),
    );
    expect(config.SUBGRAPH_TIMEOUTS_MS).toEqual(
      new Map([
        ["knowledge", 60_000],
        ["*", 10_000],
      ]),
    );
    expect(problemsOf({ LIMITS: "depth=12", RATE_LIMITS: "principal=600", SUBGRAPH_TIMEOUTS_MS: "a=soon" })).toEqual([
      expect.stringMatching(/^SUBGRAPH_TIMEOUTS_MS: must have the form name=milliseconds/),
      expect.stringMatching(/^LIMITS: must have the form name=number.*maxDepth/),
      expect.stringMatching(/^RATE_LIMITS: must have the form name=number\/window.*principal/),
    ]);
  });

  it("reads numbers and lists, and leaves variables of others alone", () => {
    const config = loadConfig({
      PORT: "0",
      WORKER_CONCURRENCY: "8",
      HOME: "/root",
      EGRESS_ALLOWED_HOSTS: " api.example.com, *.example.org ,,private:minio:9000",
      SECRET_KEY: KEY,
      SECRET_KEY_PREVIOUS: `${"a".repeat(32)},${"b".repeat(40)}`,
    });
    expect(config.PORT).toBe(0);
    expect(config.WORKER_CONCURRENCY).toBe(8);
    expect(config.EGRESS_ALLOWED_HOSTS).toEqual(["api.example.com", "*.example.org", "private:minio:9000"]);
    expect(config.SECRET_KEY_PREVIOUS).toEqual(["a".repeat(32), "b".repeat(40)]);
    expect(config).not.toHaveProperty("HOME");
  });

  it("reads where subgraphs are and whose tokens are trusted", () => {
    const issuer = {
      issuer: "https://issuer.example.com",
      audience: "sba",
      jwksUrl: "https://issuer.example.com/jwks",
    };
    const config = loadConfig({
      SUBGRAPH_URLS: "agent=http://agent:4000, billing=http://billing:4000",
      TRUSTED_ISSUERS: JSON.stringify([issuer]),
    });
    expect([...config.SUBGRAPH_URLS]).toEqual([
      ["agent", "http://agent:4000"],
      ["billing", "http://billing:4000"],
    ]);
    expect(config.TRUSTED_ISSUERS).toEqual([issuer]);
  });

  it("reports every problem at once, those between variables too, each with the variable's name", () => {
    const problems = problemsOf({
      NODE_ENV: "production",
      PORT: "99999",
      REDIS_URL: "localhost",
      DATABASE_URL: "mysql://x",
      LOG_LEVEL: "loud",
      BLOB_S3_BUCKET: "b",
    });
    expect(problems.map((problem) => problem.slice(0, problem.indexOf(":")))).toEqual([
      "PORT",
      "DATABASE_URL",
      "REDIS_URL",
      "LOG_LEVEL",
      "SECRET_KEY",
      "DATABASE_SYSTEM_URL or DATABASE_ADMIN_URL",
      "BLOB_S3_ACCESS_KEY_ID, BLOB_S3_SECRET_ACCESS_KEY",
    ]);
  });

  it("says all of it in one message, one line a problem", () => {
    expect(() => loadConfig({ PORT: "no", REDIS_URL: "no" })).toThrow(
      "The environment is not valid:\n  - PORT: must be a whole number from 0 to 65535\n  - REDIS_URL: must be a URL of the form redis://host:6379",
    );
  });

  it("never quotes a value, which may be a secret", () => {
    const secret = "s3cret-value";
    const names = [
      "SECRET_KEY",
      "SECRET_KEY_PREVIOUS",
      "DATABASE_URL",
      "DATABASE_ADMIN_URL",
      "REDIS_URL",
      "OPENAI_BASE_URL",
      "NODE_ENV",
      "LOG_LEVEL",
      "PORT",
    ];
    const problems = problemsOf(Object.fromEntries(names.map((name) => [name, secret])));
    expect(problems.length).toBeGreaterThanOrEqual(names.length);
    expect(problems.join()).not.toContain(secret);
  });

  const refused: readonly (readonly [string, NodeJS.ProcessEnv])[] = [
    ["PORT", { PORT: "70000" }],
    ["PORT", { PORT: "-1" }],
    ["PORT", { PORT: "80.5" }],
    ["WORKER_CONCURRENCY", { WORKER_CONCURRENCY: "0" }],
    ["DATABASE_POOL_SIZE", { DATABASE_POOL_SIZE: "many" }],
    ["DATABASE_ADMIN_URL", { DATABASE_ADMIN_URL: "postgres://" }],
    ["PUBLIC_URL", { PUBLIC_URL: "ftp://example.com" }],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }],
    ["SECRET_KEY", { SECRET_KEY: "k".repeat(31) }],
    ["SECRET_KEY_PREVIOUS", { SECRET_KEY: KEY, SECRET_KEY_PREVIOUS: `${KEY},short` }],
    ["EGRESS_ALLOWED_HOSTS", { EGRESS_ALLOWED_HOSTS: "api.example.com,https://example.com" }],
    ["SUBGRAPH_URLS", { SUBGRAPH_URLS: "agent" }],
    ["SUBGRAPH_URLS", { SUBGRAPH_URLS: "agent=agent:4000" }],
    ["TRUSTED_ISSUERS", { TRUSTED_ISSUERS: "https://issuer.example.com" }],
    ["TRUSTED_ISSUERS", { TRUSTED_ISSUERS: '[{"issuer":"https://issuer.example.com"}]' }],
    ["SECRET_KEY", { NODE_ENV: "production" }],
    ["SECRET_KEY", { SECRET_KEY_PREVIOUS: KEY }],
    ["DATABASE_SYSTEM_URL or DATABASE_ADMIN_URL", { DATABASE_URL: POSTGRES }],
    ["DATABASE_URL", { DATABASE_SYSTEM_URL: POSTGRES }],
    ["BLOB_S3_ACCESS_KEY_ID, BLOB_S3_SECRET_ACCESS_KEY", { BLOB_S3_BUCKET: "b", BLOB_S3_ACCESS_KEY_ID: "id" }],
    ["BLOB_S3_BUCKET", { BLOB_S3_ENDPOINT: "http://minio:9000" }],
  ];
  it.each(refused)("refuses %s in %j", (name, environment) => {
    expect(problemsOf(environment)).toEqual([expect.stringMatching(new RegExp(`^${name}: `))]);
  });

  const accepted: readonly NodeJS.ProcessEnv[] = [
    { NODE_ENV: "production", SECRET_KEY: KEY },
    { DATABASE_URL: POSTGRES, DATABASE_SYSTEM_URL: POSTGRES },
    { DATABASE_URL: POSTGRES, DATABASE_ADMIN_URL: POSTGRES },
    { DATABASE_ADMIN_URL: "postgresql://owner@db/sba?sslmode=require" },
    { REDIS_URL: "rediss://:secret@cache:6380/1" },
    {
      BLOB_S3_BUCKET: "b",
      BLOB_S3_ACCESS_KEY_ID: "id",
      BLOB_S3_SECRET_ACCESS_KEY: "secret",
      BLOB_S3_ENDPOINT: "http://minio:9000",
    },
    { OPENAI_BASE_URL: "http://localhost:11434/v1" },
  ];
  it.each(accepted)("accepts %j", (environment) => {
    expect(problemsOf(environment)).toEqual([]);
  });
});
