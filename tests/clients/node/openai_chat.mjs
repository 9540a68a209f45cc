// openai at Chat Completions.
import { run, tools, PDF, PNG, QUESTION, SCHEMAS } from "./cases.mjs";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = "kimi";
const HI = [{ role: "user", content: "Hi" }];
const City = z.object({ city: z.string(), rain: z.boolean() });

const offered = Object.entries(SCHEMAS).map(([name, schema]) => ({ type: "function", function: { name, ...schema } }));

const client = ({ base, token }, path = "/v1") =>
  new OpenAI({ baseURL: base + path, apiKey: token, dangerouslyAllowBrowser: true });
const completions = (at) => client(at).chat.completions;

function tell(told, { choices: [{ message, finish_reason }], usage }) {
  told.text = message.content;
  told.finish = finish_reason;
  told.usage = usage && [usage.prompt_tokens, usage.completion_tokens];
  if (message.reasoning_content) told.thinking = message.reasoning_content;
}

/** Put what arrives into `told` at once, so that it is told of a stream that fails as well. */
async function follow(told, stream) {
  Object.assign(told, { text: "", thinking: "", pieces: 0, sources: [] });
  for await (const { choices: [choice], usage } of stream) {
    if (usage) told.usage = [usage.prompt_tokens, usage.completion_tokens];
    if (!choice) continue;
    if (choice.delta.content) told.pieces += 1;
    told.text += choice.delta.content ?? "";
    told.thinking += choice.delta.reasoning_content ?? "";
    told.sources.push(...found(choice.delta.annotations));
    told.finish = choice.finish_reason ?? told.finish;
  }
}

const found = (annotations = []) => annotations.map(({ url_citation: { url, title } }) => ({ url, title }));
const streamed = { model, stream: true, stream_options: { include_usage: true } };

await run({
  async text(at, told) {
    tell(told, await completions(at).create({ model, messages: HI }, { timeout: 60_000 }));
  },
  async streamed(at, told) {
    await follow(told, await completions(at).create({ ...streamed, messages: HI }));
  },
  async talk(at, told) {
    const messages = [{ role: "system", content: "Be brief." }];
    told.texts = [];
    for (const content of ["Who are you?", "And who am I?"]) {
      messages.push({ role: "user", content });
      const stream = completions(at).stream({ model, messages });
      messages.push(await stream.finalMessage());
      told.texts.push(messages.at(-1).content);
    }
  },
  async tools(at, told) {
    const own = tools();
    const messages = [{ role: "user", content: QUESTION }];
    for (;;) {
      const { choices: [{ message }] } = await completions(at).create({ model, messages, tools: offered });
      messages.push(message);
      if (!message.tool_calls) break;
      for (const { id, function: { name, arguments: text } } of message.tool_calls) {
        messages.push({ role: "tool", tool_call_id: id, content: own[name](JSON.parse(text)) });
      }
    }
    Object.assign(told, { answer: messages.at(-1).content, calls: own.calls });
  },
  async streamed_tools(at, told) {
    const own = tools();
    const runnable = [
      zodFunction({ name: "find_city", parameters: z.object({ person: z.string() }), function: own.find_city }),
      zodFunction({
        name: "weather",
        parameters: z.object({ city: z.string(), days: z.number().int() }),
        function: own.weather,
      }),
    ];
    const messages = [{ role: "user", content: QUESTION }];
    const runner = completions(at).runTools({ model, messages, tools: runnable, stream: true });
    Object.assign(told, { answer: await runner.finalContent(), calls: own.calls });
  },
  async forced(at, told) {
    const ask = { model, messages: HI, tools: offered, tool_choice: "required" };
    const { choices: [{ message, finish_reason }] } = await completions(at).create(ask);
    told.calls = message.tool_calls.map(({ function: { name, arguments: text } }) => [name, JSON.parse(text)]);
    told.finish = finish_reason;
  },
  async image(at, told) {
    const content = [
      { type: "text", text: "What is it?" },
      { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
    ];
    tell(told, await completions(at).create({ model, messages: [{ role: "user", content }] }));
  },
  async document(at, told) {
    const content = [
      { type: "file", file: { filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` } },
      { type: "text", text: "What is it?" },
    ];
    tell(told, await completions(at).create({ model, messages: [{ role: "user", content }] }));
  },
  async limit(at, told) {
    tell(told, await completions(at).create({ model, messages: HI, max_completion_tokens: 4 }));
  },
  async thinking(at, told) {
    tell(told, await completions(at).create({ model: "kimi-k2-thinking", messages: HI }));
  },
  async streamed_thinking(at, told) {
    await follow(told, await completions(at).create({ ...streamed, model: "kimi-k2-thinking", messages: HI }));
  },
  async search(at, told) {
    const { choices: [{ message }] } = await completions(at).create({ model: "kimi-search-silent", messages: HI });
    Object.assign(told, { text: message.content, sources: found(message.annotations) });
  },
  async streamed_search(at, told) {
    await follow(told, await completions(at).create({ ...streamed, model: "kimi-search-silent", messages: HI }));
  },
  async object(at, told) {
    const { choices: [{ message }] } = await completions(at).parse({
      model,
      messages: HI,
      response_format: zodResponseFormat(City, "city"),
    });
    told.object = message.parsed;
  },
  async models(at, told) {
    for await (const { id } of client(at).models.list()) (told.ids ??= []).push(id);
  },
  async bases(at, told) {
    for (const path of ["/v1", "", "/v1/"]) {
      const { choices: [{ message }] } = await client(at, path).chat.completions.create({ model, messages: HI });
      told[path] = message.content;
    }
  },
  async bad_token({ base }) {
    await completions({ base, token: "x".repeat(40) }).create({ model, messages: HI });
  },
  async empty(at) {
    await completions(at).create({ model, messages: [] });
  },
  async no_path(at) {
    await client(at, "/nowhere").chat.completions.create({ model, messages: HI });
  },
  ...Object.fromEntries(
    ["missing", "quota", "invalid", "down", "truncated"].map((name) => [
      name,
      async (at, told) => tell(told, await completions(at).create({ model, messages: HI })),
    ]),
  ),
  async broken(at, told) {
    await follow(told, await completions(at).create({ ...streamed, messages: HI }));
  },
  async cut(at, told) {
    await follow(told, await completions(at).create({ ...streamed, messages: HI }));
  },
});
