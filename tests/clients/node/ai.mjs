// Vercel's ai with one of its providers: compatible, chat, responses, anthropic or google.
import { run, tools, PDF, PNG, QUESTION } from "./cases.mjs";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would be printed between the results; they are told of instead

const compatible = (baseURL, apiKey) =>
  createOpenAICompatible({ name: "kimi", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });

// How each provider is made and pointed at the gateway, and how it asks for thinking and for a search.
const PROVIDERS = {
  compatible: {
    make: compatible,
    paths: ["/v1", "", "/v1/"],
    thinking: { model: "kimi-k2-thinking" },
    search: () => ({ model: "kimi-search-silent" }),
  },
  chat: {
    make: (baseURL, apiKey) => createOpenAI({ baseURL, apiKey }).chat,
    paths: ["/v1", "", "/v1/"],
    thinking: { model: "kimi-k2-thinking" },
    search: () => ({ model: "kimi-search-silent" }),
  },
  responses: {
    make: (baseURL, apiKey) => createOpenAI({ baseURL, apiKey }),
    paths: ["/v1", "", "/v1/"],
    thinking: {
      providerOptions: { openai: { forceReasoning: true, reasoningEffort: "medium", reasoningSummary: "auto" } },
    },
    search: () => ({ tools: { web_search: createOpenAI({ apiKey: "none" }).tools.webSearch({}) } }),
  },
  anthropic: {
    make: (baseURL, apiKey) => createAnthropic({ baseURL, apiKey }),
    paths: ["/v1", "", "/v1/"],
    thinking: { providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } } },
    form: { providerOptions: { anthropic: { structuredOutputMode: "outputFormat" } } }, // else by a tool
    search: () => ({ tools: { web_search: createAnthropic({ apiKey: "none" }).tools.webSearch_20250305({}) } }),
  },
  google: {
    make: (baseURL, apiKey) => createGoogleGenerativeAI({ baseURL, apiKey }),
    paths: ["/v1beta", "", "/v1"],
    thinking: {
      providerOptions: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } },
    },
    search: () => ({
      model: "gemini-2.5-flash", // of other names the provider believes that they cannot search
      tools: { google_search: createGoogleGenerativeAI({ apiKey: "none" }).tools.googleSearch({}) },
    }),
  },
};

const { make, paths, thinking, form, search } = PROVIDERS[process.argv[2]];
const City = z.object({ city: z.string(), rain: z.boolean() });

function asking({ base, token }, { model = "kimi", ...more } = {}) {
  const ask = more.messages ? {} : { prompt: "Hi" };
  return { model: make(base + paths[0], token)(model), maxRetries: 0, ...ask, ...more };
}

function tell(told, { text, reasoningText, finishReason, usage, sources, warnings }) {
  Object.assign(told, { text, finish: finishReason, usage: [usage.inputTokens, usage.outputTokens], warnings });
  told.thinking = reasoningText ?? "";
  told.sources = sources.map(({ url, title }) => ({ url, title }));
}

/** Put what arrives into `told` at once, so that it is told of a stream that fails as well. */
async function follow(told, ask) {
  const stream = streamText({ ...ask, onError: () => {} }); // or it would print the error
  Object.assign(told, { text: "", thinking: "", pieces: 0, sources: [] });
  let failure;
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta") {
      told.pieces += 1;
      told.text += part.text;
    }
    if (part.type === "reasoning-delta") told.thinking += part.text;
    if (part.type === "source") told.sources.push({ url: part.url, title: part.title });
    if (part.type === "error") failure = part.error;
    if (part.type === "finish") {
      told.finish = part.finishReason;
      told.usage = [part.totalUsage.inputTokens, part.totalUsage.outputTokens];
    }
  }
  if (failure) throw failure;
  told.warnings = await stream.warnings;
}

function offered(own) {
  return {
    find_city: tool({
      description: "Find the city that a person lives in.",
      inputSchema: z.object({ person: z.string() }),
      execute: own.find_city,
    }),
    weather: tool({
      description: "Tell the weather of a city.",
      inputSchema: z.object({ city: z.string(), days: z.number().int() }),
      execute: own.weather,
    }),
  };
}

await run({
  async text(at, told) {
    tell(told, await generateText(asking(at)));
  },
  async streamed(at, told) {
    await follow(told, asking(at));
  },
  async talk(at, told) {
    const messages = [];
    told.texts = [];
    for (const content of ["Who are you?", "And who am I?"]) {
      messages.push({ role: "user", content });
      const { text, response } = await generateText(asking(at, { messages, system: "Be brief." }));
      messages.push(...response.messages);
      told.texts.push(text);
    }
  },
  async tools(at, told) {
    const own = tools();
    const ask = asking(at, { prompt: QUESTION, tools: offered(own), stopWhen: stepCountIs(5) });
    const { text, steps } = await generateText(ask);
    Object.assign(told, { answer: text, calls: own.calls, steps: steps.length });
  },
  async streamed_tools(at, told) {
    const own = tools();
    const stream = streamText(asking(at, { prompt: QUESTION, tools: offered(own), stopWhen: stepCountIs(5) }));
    Object.assign(told, { answer: await stream.text, calls: own.calls, steps: (await stream.steps).length });
  },
  async forced(at, told) {
    const own = tools();
    const { finishReason } = await generateText(asking(at, { tools: offered(own), toolChoice: "required" }));
    Object.assign(told, { calls: own.calls, finish: finishReason });
  },
  async image(at, told) {
    const content = [
      { type: "text", text: "What is it?" },
      { type: "image", image: Buffer.from(PNG, "base64") },
    ];
    tell(told, await generateText(asking(at, { messages: [{ role: "user", content }] })));
  },
  async document(at, told) {
    const content = [
      { type: "file", mediaType: "application/pdf", filename: "a.pdf", data: Buffer.from(PDF, "base64") },
      { type: "text", text: "What is it?" },
    ];
    tell(told, await generateText(asking(at, { messages: [{ role: "user", content }] })));
  },
  async limit(at, told) {
    tell(told, await generateText(asking(at, { maxOutputTokens: 4 })));
  },
  async thinking(at, told) {
    tell(told, await generateText(asking(at, thinking)));
  },
  async streamed_thinking(at, told) {
    await follow(told, asking(at, thinking));
  },
  async search(at, told) {
    tell(told, await generateText(asking(at, search())));
  },
  async streamed_search(at, told) {
    await follow(told, asking(at, search()));
  },
  async object(at, told) {
    told.object = (await generateObject({ ...asking(at, form), schema: City })).object;
  },
  async streamed_object(at, told) {
    const stream = streamText({ ...asking(at, form), output: Output.object({ schema: City }) });
    told.object = await stream.output;
  },
  async object_by_tool(at, told) {
    told.object = (await generateText({ ...asking(at), output: Output.object({ schema: City }) })).output;
  },
  async bases(at, told) {
    for (const path of paths) {
      const model = make(at.base + path, at.token)("kimi");
      told[path] = (await generateText({ ...asking(at), model })).text;
    }
  },
  async bad_token({ base }) {
    await generateText(asking({ base, token: "x".repeat(40) }));
  },
  async no_path(at) {
    await generateText({ ...asking(at), model: make(`${at.base}/nowhere`, at.token)("kimi") });
  },
  ...Object.fromEntries(
    ["missing", "quota", "invalid", "down", "truncated"].map((name) => [
      name,
      async (at, told) => tell(told, await generateText(asking(at))),
    ]),
  ),
  async retried(at) {
    await generateText({ ...asking(at), maxRetries: 1 });
  },
  async broken(at, told) {
    await follow(told, asking(at));
  },
  async cut(at, told) {
    await follow(told, asking(at));
  },
});
