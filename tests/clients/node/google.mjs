// @google/genai at Gemini.
import { run, tools, PDF, PNG, QUESTION, SCHEMAS } from "./cases.mjs";
import { GoogleGenAI } from "@google/genai";

const asked = { model: "kimi", contents: "Hi" };
const declared = Object.entries(SCHEMAS).map(([name, { description, parameters }]) => ({
  name,
  description,
  parametersJsonSchema: parameters,
}));
const City = {
  type: "object",
  properties: { city: { type: "string" }, rain: { type: "boolean" } },
  required: ["city", "rain"],
};

const client = ({ base, token }, path = "") =>
  new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: base + path } });
const models = (at) => client(at).models;
const withConfig = (config) => ({ ...asked, config });
const showing = withConfig({ thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } });
const searching = withConfig({ tools: [{ googleSearch: {} }] });

/** Put an answer, or a piece of one, into `told`. */
function add(told, { candidates: [candidate] = [], usageMetadata }) {
  for (const { text, thought } of candidate?.content?.parts ?? []) {
    if (!text) continue;
    told.pieces += 1;
    told[thought ? "thinking" : "text"] += text;
  }
  told.finish = candidate?.finishReason ?? told.finish;
  if (usageMetadata) told.usage = [usageMetadata.promptTokenCount, usageMetadata.candidatesTokenCount];
  const chunks = candidate?.groundingMetadata?.groundingChunks ?? [];
  told.sources.push(...chunks.map(({ web: { uri, title } }) => ({ url: uri, title })));
}

const empty = () => ({ text: "", thinking: "", pieces: 0, sources: [] });
const tell = (told, answer) => add(Object.assign(told, empty()), answer);

async function follow(told, stream) {
  Object.assign(told, empty());
  for await (const piece of await stream) add(told, piece);
}

await run({
  async text(at, told) {
    tell(told, await models(at).generateContent(asked));
  },
  async streamed(at, told) {
    await follow(told, models(at).generateContentStream(asked));
  },
  async talk(at, told) {
    const chat = client(at).chats.create({ model: "kimi", config: { systemInstruction: "Be brief." } });
    told.texts = [(await chat.sendMessage({ message: "Who are you?" })).text, ""];
    const stream = await chat.sendMessageStream({ message: "And who am I?" });
    for await (const { text } of stream) told.texts[1] += text ?? "";
  },
  async tools(at, told) {
    const own = tools();
    const contents = [{ role: "user", parts: [{ text: QUESTION }] }];
    const config = { tools: [{ functionDeclarations: declared }] };
    for (;;) {
      const answer = await models(at).generateContent({ model: "kimi", contents, config });
      contents.push(answer.candidates[0].content);
      told.answer = answer.text;
      if (!answer.functionCalls) break;
      const results = answer.functionCalls.map(({ id, name, args }) => ({
        functionResponse: { id, name, response: { output: own[name](args) } },
      }));
      contents.push({ role: "user", parts: results });
    }
    told.calls = own.calls;
  },
  async streamed_tools(at, told) {
    const own = tools();
    const callable = {
      tool: async () => ({ functionDeclarations: declared }),
      callTool: async (calls) =>
        calls.map(({ id, name, args }) => ({ functionResponse: { id, name, response: { output: own[name](args) } } })),
    };
    const ask = { model: "kimi", contents: QUESTION, config: { tools: [callable] } };
    const stream = await models(at).generateContentStream(ask);
    told.answer = "";
    for await (const { text, functionCalls } of stream) told.answer = functionCalls ? "" : told.answer + (text ?? "");
    told.calls = own.calls;
  },
  async forced(at, told) {
    const toolConfig = { functionCallingConfig: { mode: "ANY" } };
    const ask = withConfig({ tools: [{ functionDeclarations: declared }], toolConfig });
    const answer = await models(at).generateContent(ask);
    told.calls = answer.functionCalls.map(({ name, args }) => [name, args]);
    told.finish = answer.candidates[0].finishReason;
  },
  async image(at, told) {
    const contents = [{ inlineData: { mimeType: "image/png", data: PNG } }, "What is it?"];
    tell(told, await models(at).generateContent({ model: "kimi", contents }));
  },
  async document(at, told) {
    const contents = [{ inlineData: { mimeType: "application/pdf", data: PDF, displayName: "a.pdf" } }, "What is it?"];
    tell(told, await models(at).generateContent({ model: "kimi", contents }));
  },
  async limit(at, told) {
    tell(told, await models(at).generateContent(withConfig({ maxOutputTokens: 4 })));
  },
  async thinking(at, told) {
    tell(told, await models(at).generateContent(showing));
  },
  async streamed_thinking(at, told) {
    await follow(told, models(at).generateContentStream(showing));
  },
  async search(at, told) {
    tell(told, await models(at).generateContent(searching));
  },
  async streamed_search(at, told) {
    await follow(told, models(at).generateContentStream(searching));
  },
  async object(at, told) {
    const form = withConfig({ responseMimeType: "application/json", responseJsonSchema: City });
    told.object = JSON.parse((await models(at).generateContent(form)).text);
  },
  async models(at, told) {
    for await (const { name } of await models(at).list()) (told.ids ??= []).push(name);
  },
  async count(at, told) {
    told.tokens = (await models(at).countTokens(asked)).totalTokens;
  },
  async bases(at, told) {
    for (const path of ["", "/", "/v1beta", "/v1"]) {
      told[path] = (await client(at, path).models.generateContent(asked)).text;
    }
  },
  async bad_token({ base }) {
    await models({ base, token: "x".repeat(40) }).generateContent(asked);
  },
  async empty(at) {
    await models(at).generateContent({ model: "kimi", contents: [{ role: "user", parts: [{ text: "" }] }] });
  },
  async no_path(at) {
    await client(at, "/nowhere").models.generateContent(asked);
  },
  ...Object.fromEntries(
    ["missing", "quota", "invalid", "down", "truncated"].map((name) => [
      name,
      async (at, told) => tell(told, await models(at).generateContent(asked)),
    ]),
  ),
  async broken(at, told) {
    await follow(told, models(at).generateContentStream(asked));
  },
  async cut(at, told) {
    await follow(told, models(at).generateContentStream(asked));
  },
});
