// @anthropic-ai/sdk at Messages.
import { run, tools, PDF, PNG, QUESTION, SCHEMAS } from "./cases.mjs";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const HI = [{ role: "user", content: "Hi" }];
const asked = { model: "kimi", max_tokens: 1024, messages: HI };
const thinking = { type: "enabled", budget_tokens: 1024 };
const search = [{ type: "web_search_20250305", name: "web_search" }];
const offered = Object.entries(SCHEMAS).map(([name, { description, parameters }]) => ({
  name,
  description,
  input_schema: parameters,
}));
const City = z.object({ city: z.string(), rain: z.boolean() });

const client = ({ base, token }, path = "") => new Anthropic({ baseURL: base + path, apiKey: token });
const messages = (at) => client(at).messages;

const textOf = ({ content }) => content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");

function tell(told, message) {
  told.text = textOf(message);
  told.finish = message.stop_reason;
  told.usage = [message.usage.input_tokens, message.usage.output_tokens];
  told.thinking = message.content.flatMap((block) => (block.type === "thinking" ? [block.thinking] : [])).join("");
  const cited = message.content.flatMap(({ citations }) => citations ?? []);
  told.sources = cited.map(({ url, title }) => ({ url, title }));
}

/** Put what arrives into `told` at once, so that it is told of a stream that fails as well. */
async function follow(told, stream) {
  Object.assign(told, { heard: "", pieces: 0 });
  stream.on("text", (piece) => {
    told.pieces += 1;
    told.heard += piece;
  });
  tell(told, await stream.finalMessage());
}

await run({
  async text(at, told) {
    tell(told, await messages(at).create(asked));
  },
  async streamed(at, told) {
    await follow(told, messages(at).stream(asked));
  },
  async talk(at, told) {
    const history = [];
    told.texts = [];
    for (const content of ["Who are you?", "And who am I?"]) {
      history.push({ role: "user", content });
      const answer = await messages(at).create({ ...asked, system: "Be brief.", messages: history });
      history.push({ role: "assistant", content: answer.content });
      told.texts.push(textOf(answer));
    }
  },
  async tools(at, told) {
    const own = tools();
    const history = [{ role: "user", content: QUESTION }];
    for (;;) {
      const answer = await messages(at).create({ ...asked, messages: history, tools: offered });
      history.push({ role: "assistant", content: answer.content });
      told.answer = textOf(answer);
      if (answer.stop_reason !== "tool_use") break;
      const calls = answer.content.filter(({ type }) => type === "tool_use");
      history.push({
        role: "user",
        content: calls.map(({ id, name, input }) => ({
          type: "tool_result",
          tool_use_id: id,
          content: own[name](input),
        })),
      });
    }
    told.calls = own.calls;
  },
  async streamed_tools(at, told) {
    const own = tools();
    const runnable = [
      betaZodTool({
        name: "find_city",
        description: "Find the city that a person lives in.",
        inputSchema: z.object({ person: z.string() }),
        run: own.find_city,
      }),
      betaZodTool({
        name: "weather",
        description: "Tell the weather of a city.",
        inputSchema: z.object({ city: z.string(), days: z.number().int() }),
        run: own.weather,
      }),
    ];
    const question = [{ role: "user", content: QUESTION }];
    const runner = client(at).beta.messages.toolRunner({ ...asked, messages: question, tools: runnable, stream: true });
    for await (const stream of runner) told.answer = textOf(await stream.finalMessage());
    told.calls = own.calls;
  },
  async forced(at, told) {
    const answer = await messages(at).create({ ...asked, tools: offered, tool_choice: { type: "any" } });
    told.calls = answer.content.filter(({ type }) => type === "tool_use").map(({ name, input }) => [name, input]);
    told.finish = answer.stop_reason;
  },
  async image(at, told) {
    const source = { type: "base64", media_type: "image/png", data: PNG };
    const content = [{ type: "image", source }, { type: "text", text: "What is it?" }];
    tell(told, await messages(at).create({ ...asked, messages: [{ role: "user", content }] }));
  },
  async document(at, told) {
    const source = { type: "base64", media_type: "application/pdf", data: PDF };
    const content = [{ type: "document", source, title: "a.pdf" }, { type: "text", text: "What is it?" }];
    tell(told, await messages(at).create({ ...asked, messages: [{ role: "user", content }] }));
  },
  async limit(at, told) {
    tell(told, await messages(at).create({ ...asked, max_tokens: 4 }));
  },
  async thinking(at, told) {
    tell(told, await messages(at).create({ ...asked, max_tokens: 2048, thinking }));
  },
  async streamed_thinking(at, told) {
    await follow(told, messages(at).stream({ ...asked, max_tokens: 2048, thinking }));
  },
  async search(at, told) {
    tell(told, await messages(at).create({ ...asked, tools: search }));
  },
  async streamed_search(at, told) {
    await follow(told, messages(at).stream({ ...asked, tools: search }));
  },
  async object(at, told) {
    const answer = await messages(at).parse({ ...asked, output_config: { format: zodOutputFormat(City) } });
    told.object = answer.parsed_output;
  },
  async models(at, told) {
    for await (const { id } of client(at).models.list()) (told.ids ??= []).push(id);
  },
  async count(at, told) {
    const { input_tokens } = await messages(at).countTokens({ model: "kimi", messages: HI });
    told.tokens = input_tokens;
  },
  async bases(at, told) {
    for (const path of ["", "/", "/v1"]) told[path] = textOf(await client(at, path).messages.create(asked));
    const { base: baseURL, token: authToken } = at;
    told.authToken = textOf(
      await new Anthropic({ baseURL, authToken, apiKey: null, dangerouslyAllowBrowser: true }).messages.create(asked),
    );
  },
  async bad_token({ base }) {
    await messages({ base, token: "x".repeat(40) }).create(asked);
  },
  async empty(at) {
    await messages(at).create({ ...asked, messages: [] });
  },
  async no_path(at) {
    await client(at, "/nowhere").messages.create(asked);
  },
  ...Object.fromEntries(
    ["missing", "quota", "invalid", "down", "truncated"].map((name) => [
      name,
      async (at, told) => tell(told, await messages(at).create(asked)),
    ]),
  ),
  async broken(at, told) {
    await follow(told, messages(at).stream(asked));
  },
  async cut(at, told) {
    await follow(told, messages(at).stream(asked));
  },
});
