// Python in a thread of its own: it runs one program at a time and posts what it prints.
//
// in:  { command: "run", name, code, check, files: { "lstm.py": text } } · { command: "draw", name }
// out: { type: "state", value: "running" | "done" | "failed" } · { type: "out", value: text }
//      { type: "figure", value: svg }

import { loadPyodide } from "../pyodide/pyodide.mjs";

const post = (type, value) => postMessage({ type, value });

// Text is posted as it is written, but a flood is gathered: a message costs more than a line.
let text = "";
let posts = [];
const flush = () => {
  if (text) post("out", text);
  text = "";
};
const print = (piece) => {
  text += piece;
  const now = performance.now();
  if (posts.length && now - posts[0] > 100) posts = [];
  if (posts.length < 50) {
    posts.push(now);
    flush();
  }
};

async function start() {
  const [python, ...files] = await Promise.all([
    loadPyodide({ indexURL: new URL("../pyodide/", import.meta.url).href }),
    ...["runner.py", "figures.py", "figures.mplstyle"].map(async (name) => {
      const answer = await fetch(new URL(name, import.meta.url));
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
      return [name, await answer.text()];
    }),
  ]);
  for (const stream of ["setStdout", "setStderr"]) {
    const decoder = new TextDecoder();
    python[stream]({
      write(bytes) {
        print(decoder.decode(bytes, { stream: true }));
        return bytes.length;
      },
    });
  }
  for (const [name, content] of files) python.FS.writeFile(name, content);
  return { python, runner: python.pyimport("runner") };
}

let started;
onmessage = async ({ data: { command, name, code, check = "", files = {} } }) => {
  try {
    started ??= start().catch((error) => {
      started = undefined; // the next run tries again
      throw error;
    });
    const { python, runner } = await started;
    for (const [file, text] of Object.entries(files)) python.FS.writeFile(file, text);
    const texts = [code, check, ...Object.values(files)].join("\n");
    const needed = command === "draw" ? ["matplotlib"] : /\bnumpy\b/.test(texts) ? ["numpy"] : [];
    await python.loadPackage(needed, { messageCallback() {} });
    post("state", "running");
    const fine =
      command === "draw"
        ? runner.draw(name, (svg) => post("figure", svg))
        : runner.run(code, name, check);
    flush();
    post("state", fine ? "done" : "failed");
  } catch (error) {
    flush();
    post("out", `${error.message ?? error}\n`);
    post("state", "failed");
  }
};
