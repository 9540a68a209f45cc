// openai at Responses.
import { described, run, tools, PDF, PNG, QUESTION, SCHEMAS } from "./cases.mjs";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const asked = { model: "kimi", input: "Hi" };
const thinking = { ...asked, reasoning: { effort: "medium", summary: "auto" } };
const searching = { ...asked, tools: [{ type: "web_search" }] };
const offered = Object.entries(SCHEMAS).map(([name, schema]) => ({ type: "function", name, strict: false, ...schema }));
const City = z.object({ city: z.string(), rain: z.boolean() });

const client = ({ base, token }, path = "/v1") => new OpenAI({ baseURL: base + path, apiKey: token });
const responses = (at) => client(at).responses;

function tell(told, answer) {
  const parts = (type) => answer.output.filter((item) => item.type === type);
  const contents = parts("message").flatMap(({ content }) => content);
  const thoughts = parts("reasoning").flatMap(({ summary }) => summary);
  told.text = answer.output_text;
  told.finish = answer.status;
  told.usage = [answer.usage.input_tokens, answer.usage.output_tokens];
  told.thinking = thoughts.map(({ text }) => text).join("");
  told.sources = contents.flatMap(({ annotations }) => annotations.map(({ url, title }) => ({ url, title })));
}

/** Put what arrives into `told` at once, so that it is told of a stream that fails as well. */
async function follow(told, stream) {
  Object.assign(told, { heard: "", thought: "", pieces: 0, numbers: [] });
  for await (const event of stream) {
    told.numbers.push(event.sequence_number);
    if (event.type === "response.output_text.delta") {
      told.pieces += 1;
      told.heard += event.delta;
    }
    if (event.type === "response.reasoning_summary_text.delta") told.thought += event.delta;
    if (event.type === "response.failed") throw Object.assign(new Error("response.failed"), event.response.error);
  }
  tell(told, await stream.finalResponse());
}

/** Work until the model answers in words; `ask` gives the answer to an input. */
async function loop(told, ask) {
  const own = tools();
  const input = [{ role: "user", content: QUESTION }];
  for (;;) {
    const answer = await ask({ model: "kimi", input, tools: offered });
    input.push(...answer.output);
    told.answer = answer.output_text;
    const calls = answer.output.filter(({ type }) => type === "function_call");
    if (!calls.length) break;
    for (const { call_id, name, arguments: text } of calls) {
      input.push({ type: "function_call_output", call_id, output: own[name](JSON.parse(text)) });
    }
  }
  told.calls = own.calls;
}

await run({
  async text(at, told) {
    tell(told, await responses(at).create(asked));
  },
  async streamed(at, told) {
    await follow(told, responses(at).stream(asked));
  },
  async talk(at, told) {
    const input = [];
    told.texts = [];
    for (const content of ["Who are you?", "And who am I?"]) {
      input.push({ role: "user", content });
      const answer = await responses(at).create({ model: "kimi", instructions: "Be brief.", input });
      input.push(...answer.output);
      told.texts.push(answer.output_text);
    }
  },
  async stored(at, told) {
    const brief = { model: "kimi", instructions: "Be brief." };
    const first = await responses(at).create({ ...brief, input: "Who are you?" });
    const second = await responses(at).create({ ...brief, input: "And who am I?", previous_response_id: first.id });
    told.texts = [first, second].map(({ output_text }) => output_text);
    const kept = await responses(at).retrieve(second.id);
    await responses(at).delete(second.id);
    const gone = await responses(at).retrieve(second.id).catch(described);
    Object.assign(told, { kept: kept.output_text, gone: gone.status });
  },
  async tools(at, told) {
    await loop(told, (body) => responses(at).create(body));
  },
  async streamed_tools(at, told) {
    await loop(told, (body) => responses(at).stream(body).finalResponse());
  },
  async forced(at, told) {
    const { output, status } = await responses(at).create({ ...asked, tools: offered, tool_choice: "required" });
    const calls = output.filter(({ type }) => type === "function_call");
    told.calls = calls.map(({ name, arguments: text }) => [name, JSON.parse(text)]);
    told.finish = status;
  },
  async image(at, told) {
    const content = [
      { type: "input_text", text: "What is it?" },
      { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${PNG}` },
    ];
    tell(told, await responses(at).create({ model: "kimi", input: [{ role: "user", content }] }));
  },
  async document(at, told) {
    const content = [
      { type: "input_file", filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` },
      { type: "input_text", text: "What is it?" },
    ];
    tell(told, await responses(at).create({ model: "kimi", input: [{ role: "user", content }] }));
  },
  async limit(at, told) {
    const answer = await responses(at).create({ ...asked, max_output_tokens: 4 });
    tell(told, answer);
    told.finish = answer.incomplete_details?.reason;
  },
  async thinking(at, told) {
    tell(told, await responses(at).create(thinking));
  },
  async streamed_thinking(at, told) {
    await follow(told, responses(at).stream(thinking));
  },
  async search(at, told) {
    tell(told, await responses(at).create(searching));
  },
  async streamed_search(at, told) {
    await follow(told, responses(at).stream(searching));
  },
  async object(at, told) {
    const answer = await responses(at).parse({ ...asked, text: { format: zodTextFormat(City, "city") } });
    told.object = answer.output_parsed;
  },
  async bases(at, told) {
    for (const path of ["/v1", "", "/v1/"]) told[path] = (await client(at, path).responses.create(asked)).output_text;
  },
  async bad_token({ base }) {
    await responses({ base, token: "x".repeat(40) }).create(asked);
  },
  async empty(at) {
    await responses(at).create({ model: "kimi", input: [] });
  },
  async no_path(at) {
    await client(at, "/nowhere").responses.create(asked);
  },
  ...Object.fromEntries(
    ["missing", "quota", "invalid", "down", "truncated"].map((name) => [
      name,
      async (at, told) => tell(told, await responses(at).create(asked)),
    ]),
  ),
  async broken(at, told) {
    await follow(told, responses(at).stream(asked));
  },
  async cut(at, told) {
    await follow(told, responses(at).stream(asked));
  },
});
