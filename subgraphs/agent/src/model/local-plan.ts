import { z } from "zod";
import { extractAnswer, termsOf } from "./extract.ts";
import { outline } from "./local-outline.ts";
import type { ModelMessage, ModelRequest, ModelToolCall } from "./model.ts";
import { countTokens } from "./tokens.ts";

/** What the built-in model does in one turn, decided from the conversation alone. Pure. */

export interface PlannedTurn {
  readonly text: string;
  readonly toolCalls: readonly ModelToolCall[];
  /** The text is a question that the person must answer. */
  readonly asksPerson: boolean;
}

const SELF_DESCRIPTION =
  "I am the built-in local model of this platform. I am not a large language model: I plan and call tools by fixed rules, and " +
  "I answer by quoting the sentences of your documents that fit a question best. Configure an OpenAI-compatible model for answers in free words.";
const WHAT_TO_ASK = "What would you like to know? Please ask a question, or name a topic.";
const WHICH_TASK = "What should the task say? Please give it a title.";
const MAX_SUMMARY_SENTENCE = 300;
const NOTHING_FOUND = "I found nothing about this in the documents that you may read.";

const SELF_QUESTION =
  /\b(?:who|what)\s+(?:exactly\s+)?are\s+you\b|\b(?:what|which)\s+(?:(?:kind|sort)\s+of\s+)?(?:language\s+|ai\s+)?model\s+(?:are|is|do)\b|\bare\s+you\s+(?:an?\s+)?(?:ai|llm|gpt|chatgpt|human|robot|bot|language\s+model|real|person)\b|\bintroduce\s+yourself\b/i;
const TASK_REQUEST =
  /\b(?:create|add|make|open|file|set\s+up)\s+(?:me\s+)?(?:an?\s+|the\s+|another\s+)?(?:new\s+)?(?:task|to-?do|reminder)\b(?:\s+for\s+(?:me|us)\b)?\s*[:,-]?\s*(?:(?:to|that|called|named|titled|saying|about|for)\b\s*:?\s*)?/i;

/** `Send {"order": 42} to the webhook orders`, with an object or a text. */
const WEBHOOK_REQUEST =
  /^\s*(?:please\s+)?(?:send|post)\s+(?<payload>\{.*\}|["'“](?<text>.+)["'”])\s+to\s+(?:the\s+)?webhook\s+["'“]?(?<endpoint>[a-z0-9][a-z0-9-]{0,59})["'”]?\s*[.!]?\s*$/is;

/** The exchange under way: what the person said last, and what happened since. */
interface Exchange {
  readonly question: string;
  /** What was said just before the question. */
  readonly asked: string | undefined;
  readonly earlier: readonly ModelMessage[];
  readonly calls: readonly ModelToolCall[];
  /** Results by the id of their call. */
  readonly results: ReadonlyMap<string, ToolResult>;
}

type ToolResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** The model's next turn. */
export function planTurn(request: ModelRequest): PlannedTurn {
  if (request.purpose === "summary") return say(summarise(request));
  const exchange = readExchange(request.messages);
  if (request.purpose === "plan") return outline(planFirstTurn(request, exchange), request);
  const last = exchange.calls.findLast(({ id }) => exchange.results.has(id));
  const result = last && exchange.results.get(last.id);
  if (!last || !result) return planFirstTurn(request, exchange);
  switch (last.name) {
    case "knowledge.search":
      return answerFrom(result, request, exchange);
    case "task.create":
      return say(reportTask(last, result));
    case "webhook.send":
      return say(reportDelivery(last, result));
    default:
      return say(result.ok ? "" : `The tool ${last.name} failed: ${result.message}`);
  }
}

/** The first sentence of each message, the latest ones when not all of them fit. */
function summarise({ messages, maxOutputTokens }: ModelRequest): string {
  const said = (messages.at(-1)?.text ?? "").split("\n\n").filter((part) => part.trim() !== "");
  const kept: string[] = [];
  let left = maxOutputTokens;
  for (const part of said.toReversed()) {
    const sentence = shorten(oneLine(part.split(/(?<=[.!?])\s/)[0] ?? ""), MAX_SUMMARY_SENTENCE);
    left -= countTokens(sentence);
    if (left < 0) break;
    kept.unshift(sentence);
  }
  return kept.join("\n");
}

function readExchange(messages: readonly ModelMessage[]): Exchange {
  const start = messages.findLastIndex(({ role }) => role === "user");
  const since = messages.slice(start + 1);
  const before = messages[start - 1];
  return {
    question: messages[start]?.text.trim() ?? "",
    asked: before?.role === "assistant" ? before.text : undefined,
    earlier: messages.slice(0, Math.max(0, start)),
    calls: since.flatMap((message) => (message.role === "assistant" ? message.toolCalls : [])),
    results: new Map(
      since.flatMap((message) =>
        message.role === "tool" ? [[message.toolCallId, readResult(message.text)] as const] : [],
      ),
    ),
  };
}

const failure = z.object({ error: z.looseObject({ code: z.string(), message: z.string() }) });

function readResult(text: string): ToolResult {
  const value = parseJson(text);
  const failed = failure.safeParse(value);
  return failed.success ? { ok: false, ...failed.data.error } : { ok: true, value };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function planFirstTurn(request: ModelRequest, exchange: Exchange): PlannedTurn {
  const { question, asked } = exchange;
  if (SELF_QUESTION.test(question)) return say(SELF_DESCRIPTION);
  const task = asked === WHICH_TASK ? question : taskIn(question);
  if (task !== undefined && has(request, "task.create")) return planTask(request, task);
  const delivery = has(request, "webhook.send") ? deliveryIn(question) : undefined;
  if (delivery) return call(request, "webhook.send", delivery);
  if (termsOf(question).length === 0) return ask(WHAT_TO_ASK);
  if (has(request, "knowledge.search")) return call(request, "knowledge.search", { query: question });
  return answerFromConversation(exchange);
}

/** What the task is to say, when one is asked for; possibly nothing. */
function taskIn(question: string): string | undefined {
  const match = TASK_REQUEST.exec(question);
  return match ? question.slice(match.index + match[0].length).trim() : undefined;
}

const MAX_TITLE_LENGTH = 200;

function planTask(request: ModelRequest, wish: string): PlannedTurn {
  const said = wish.replace(/^["'“](.*)["'”][.!?]*$/s, "$1").trim();
  if (said === "") return ask(WHICH_TASK);
  const [firstLine = said] = said.split(/(?<=[.!?])\s|\n/);
  const title = shorten(firstLine.replace(/[.!?]+$/, ""), MAX_TITLE_LENGTH);
  return call(request, "task.create", said.length > firstLine.length + 1 ? { title, description: said } : { title });
}

function reportTask({ params }: ModelToolCall, result: ToolResult): string {
  const title = z.object({ title: z.string() }).safeParse(params).data?.title ?? "";
  if (!result.ok) return `The task “${title}” was not created: ${result.message}`;
  const taskId = z.object({ taskId: z.string() }).safeParse(result.value).data?.taskId;
  return `I created the task “${title}”${taskId === undefined ? "" : ` (${taskId})`}.`;
}

const payloadSchema = z.record(z.string(), z.unknown());

/** What is to be sent and where to, when that is asked for; undefined for what is neither an object nor a quoted text. */
function deliveryIn(question: string) {
  const { payload = "", text, endpoint = "" } = WEBHOOK_REQUEST.exec(question)?.groups ?? {};
  const parsed = text === undefined ? payloadSchema.safeParse(parseJson(payload)).data : { text };
  return parsed && { endpoint: endpoint.toLowerCase(), payload: parsed };
}

function reportDelivery({ params }: ModelToolCall, result: ToolResult): string {
  const endpoint = z.object({ endpoint: z.string() }).safeParse(params).data?.endpoint ?? "";
  return result.ok
    ? `I sent it to the webhook “${endpoint}”.`
    : `It was not sent to the webhook “${endpoint}”: ${result.message}`;
}

const lookUp = z.looseObject({
  hits: z.array(z.looseObject({ number: z.number(), title: z.string(), text: z.string() })),
});
type Hit = z.infer<typeof lookUp>["hits"][number];

function answerFrom(result: ToolResult, request: ModelRequest, { question }: Exchange): PlannedTurn {
  if (!result.ok) return say(`I could not search the documents: ${result.message}`);
  const hits = lookUp.safeParse(result.value).data?.hits ?? [];
  const [first] = hits;
  if (!first) return say(NOTHING_FOUND);
  const sentences = extractAnswer(question, hits);
  const text =
    sentences.length > 0
      ? sentences.map(({ text: sentence, number }) => withMarker(sentence, number)).join(" ")
      : `I found no passage that answers this directly. The closest document is “${first.title}” [${first.number}].`;
  const cited = hits.filter(({ number }) => text.includes(`[${number}]`));
  return has(request, "document.render")
    ? { ...call(request, "document.render", documentOf(question, text, cited)), text }
    : say(text);
}

/** The marker stands before the sentence's stop, so that it is read as part of the claim. */
function withMarker(sentence: string, number: number): string {
  return sentence.replace(/([.!?]["')\]]?)$/, ` [${number}]$1`);
}

function documentOf(question: string, answer: string, sources: readonly Hit[]) {
  const list = sources.map(({ number, title }) => `- [${number}] ${escapeMarkdown(title)}`).join("\n");
  const markdown = `# ${escapeMarkdown(oneLine(question))}\n\n${escapeMarkdown(answer).replaceAll(/\\\[(\d+)\\\]/g, "[$1]")}\n\n## Sources\n\n${list}\n`;
  return { title: shorten(oneLine(question), MAX_TITLE_LENGTH), markdown, format: "markdown" };
}

/** Text from outside stays text (https://spec.commonmark.org/0.31.2/#backslash-escapes). */
function escapeMarkdown(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]<>#|]/g, "\\$&");
}

function answerFromConversation({ question, earlier }: Exchange): PlannedTurn {
  const passages = earlier
    .filter(({ role }) => role === "user")
    .map(({ text }, index) => ({ number: index + 1, text }));
  const sentences = extractAnswer(question, passages);
  const found =
    sentences.length > 0
      ? `From what you told me: ${sentences.map(({ text }) => text).join(" ")}`
      : "I have no tool to look this up with, and nothing in our conversation answers it.";
  return say(`${found} ${SELF_DESCRIPTION}`);
}

function has({ tools }: ModelRequest, name: string): boolean {
  return tools.some((tool) => tool.name === name);
}

function say(text: string): PlannedTurn {
  return { text, toolCalls: [], asksPerson: false };
}

function ask(text: string): PlannedTurn {
  return { text, toolCalls: [], asksPerson: true };
}

/** A call with an id that no earlier call of the conversation has. */
function call(request: ModelRequest, name: string, params: Readonly<Record<string, unknown>>): PlannedTurn {
  const earlier = request.messages.reduce(
    (count, message) => count + (message.role === "assistant" ? message.toolCalls.length : 0),
    0,
  );
  return {
    text: "",
    toolCalls: [{ id: `call_${earlier + 1}`, name, params: fitParams(request, name, params) }],
    asksPerson: false,
  };
}

/** Texts no longer than the tool's schema takes. */
function fitParams({ tools }: ModelRequest, name: string, params: Readonly<Record<string, unknown>>) {
  const properties = z.record(z.string(), z.looseObject({ maxLength: z.number().optional() }).catch({}));
  const limits = properties.safeParse(tools.find((tool) => tool.name === name)?.paramsSchema["properties"]).data ?? {};
  return Object.fromEntries(
    Object.entries(params).map(([key, value]) => [
      key,
      typeof value === "string" ? shorten(value, limits[key]?.maxLength ?? value.length) : value,
    ]),
  );
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/** At most `maxLength` UTF-16 units, cut between characters. */
function shorten(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const cut = text.slice(0, maxLength - 1);
  return `${cut.isWellFormed() ? cut : cut.slice(0, -1)}…`;
}
