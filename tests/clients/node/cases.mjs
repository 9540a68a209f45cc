// What the programs share: the order of a test, the cases one after the other, and one JSON object at the end.
//
//   node --import ./loopback.mjs PROGRAM [PROVIDER] < ORDER
//
// ORDER is {"base": URL of the gateway, "tokens": {CASE: TOKEN}}: each case has an account of its own. What is printed
// is {"told": {CASE: what it told}, "headers": [names that were sent]}. A case that raises tells of it under `raised`.

export const QUESTION = "How is the weather where Ann lives?";
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const PDF = Buffer.from("%PDF-1.4 a small one").toString("base64");

/** The two tools of the loops; `calls` is how they were called. */
export function tools(calls = []) {
  const find_city = ({ person }) => {
    calls.push(["find_city", { person }]);
    return `Home of ${person}`;
  };
  const weather = ({ city, days }) => {
    calls.push(["weather", { city, days }]);
    return `Rain in ${city} for ${days} days`;
  };
  return { calls, find_city, weather };
}

/** JSON Schemas of their arguments. */
export const SCHEMAS = {
  find_city: {
    description: "Find the city that a person lives in.",
    parameters: { type: "object", properties: { person: { type: "string" } }, required: ["person"] },
  },
  weather: {
    description: "Tell the weather of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city", "days"],
    },
  },
};

/** Run the cases that are ordered; each gets `{base, token}` and puts what it has to tell into its second argument. */
export async function run(cases) {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { base, tokens } = JSON.parse(text);
  const headers = listening();
  const told = {};
  for (const [name, token] of Object.entries(tokens)) {
    told[name] = {};
    try {
      await cases[name]({ base, token }, told[name]);
    } catch (error) {
      told[name].raised = described(error);
    }
  }
  console.log(JSON.stringify({ told, headers: [...headers].sort() }));
}

/** The names of all headers that are sent from now on. */
function listening() {
  const names = new Set();
  const fetch = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    for (const name of new Request(input instanceof Request ? input.clone() : input, init).headers.keys()) {
      names.add(name);
    }
    return fetch(input, init);
  };
  return names;
}

/** What is told of an error. */
export function described(error) {
  const { name, message, status, statusCode, code, type } = error;
  const inner = error.errors?.map(described); // of a client that tried several times
  return { class: error.constructor.name, name, message, status: status ?? statusCode, code, type, inner };
}
