// The panel in which a reader edits a snippet and runs it: editor, buttons, output, figures.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const KEPT = 200_000; // letters of output on the page, the newest
const DRAFT = "rederived-draft-"; // and the panel's id, in localStorage: what its reader wrote
const FIRST_CODE = /^# %%(?! \[)/m; // below the title and what is said of it
const here = new URL(import.meta.url);
const panels = new Map(); // one per snippet or exercise of the page: the promise of each

const color = (name) => ({ color: `var(--md-code-hl-${name}-color)` });
const look = [
  syntaxHighlighting(
    HighlightStyle.define([
      { tag: tags.keyword, ...color("keyword") },
      { tag: [tags.comment, tags.docString], ...color("comment") },
      { tag: tags.string, ...color("string") },
      { tag: tags.number, ...color("number") },
      { tag: [tags.bool, tags.null], ...color("constant") },
      { tag: tags.function(tags.definition(tags.variableName)), ...color("function") },
      { tag: tags.definition(tags.className), ...color("function") },
    ]),
  ),
  EditorView.theme({
    "&": { color: "var(--ink)", background: "var(--paper-raised)", fontSize: ".655rem" },
    "&.cm-focused": { outline: ".1rem solid var(--accent)" },
    ".cm-scroller": { fontFamily: "var(--md-code-font-family)", lineHeight: 1.52, maxHeight: "24rem" },
    ".cm-content": { caretColor: "var(--ink)" },
    ".cm-cursor": { borderLeftColor: "var(--ink)" },
    ".cm-gutters": { color: "var(--ink-soft)", background: "none", border: 0 },
    "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
      background: "color-mix(in srgb, var(--accent) 30%, transparent) !important",
    },
  }),
];

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** What a reader made of a text before; undefined where it has not changed, or has but from another. */
function draft(id, original) {
  try {
    const kept = JSON.parse(localStorage.getItem(DRAFT + id));
    return kept?.original === original && typeof kept.text === "string" ? kept.text : undefined;
  } catch {
    return undefined; // nothing is kept here, or nothing that can be read
  }
}

function keepDraft(id, original, text) {
  try {
    if (text === original) localStorage.removeItem(DRAFT + id);
    else localStorage.setItem(DRAFT + id, JSON.stringify({ original, text }));
  } catch {
    // nothing is kept here: the draft lasts as long as the page
  }
}

/** `exercise`, where there is one: `{ check, files, solved }`, with `solved()` called once it is. */
class Panel {
  constructor(id, name, original, exercise) {
    this.id = id;
    this.name = name;
    this.original = original;
    this.exercise = exercise;
    const button = (label, title, onclick, more) =>
      element("button", { type: "button", className: "md-button", textContent: label, title, onclick, ...more });
    this.runButton = button("Run", "Ctrl+Enter or ⌘+Enter in the code", () => this.run());
    this.stopButton = button("Stop", "End the program at once", () => this.stop("Stopped."), { disabled: true });
    this.drawButton = button("Draw figures", "Draws what ran; loads matplotlib, 9 MB, the first time", () => this.draw());
    this.drawButton.disabled = true;
    this.resetButton = button("Reset", "Bring the original code back", () => this.reset());
    this.closeButton = button("Close", "Leave the page as it was", () => this.close());
    this.status = element("span", { className: "run-status", role: "status" });
    this.clock = element("span", { className: "run-clock", ariaHidden: "true" });
    const host = element("div", {});
    this.output = element("pre", { className: "run-output", tabIndex: 0, role: "log", ariaLabel: `Output of ${name}.py` });
    this.figures = element("div", {});
    this.root = element(
      "section",
      { className: "run-panel", ariaLabel: `Run ${name}.py` },
      element(
        "p",
        {},
        this.runButton,
        this.stopButton,
        ...(exercise ? [] : [this.drawButton]),
        this.resetButton,
        this.closeButton,
        this.status,
        this.clock,
      ),
      host,
      this.output,
      this.figures,
    );
    const shadow = host.attachShadow({ mode: "open" }); // its styles need no leave from the policy
    const run = () => {
      this.run();
      return true;
    };
    this.editor = new EditorView({
      root: shadow,
      parent: shadow,
      state: EditorState.create({
        doc: draft(id, original) ?? original,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          python(),
          indentUnit.of("    "),
          keymap.of([...defaultKeymap, ...historyKeymap]), // Tab leaves the editor
          Prec.highest(keymap.of(["Ctrl-Enter", "Cmd-Enter"].map((key) => ({ key, run })))),
          EditorView.contentAttributes.of({ "aria-label": `${name}.py: code, can be changed`, tabindex: "0" }),
          look,
          EditorView.updateListener.of(({ docChanged }) => docChanged && this.changed()),
        ],
      }),
    });
  }

  /** Put the panel behind `place`; if that is a block of code, the editor at that code. */
  show(place, opener) {
    this.opener = opener;
    place.after(this.root);
    const shown = place.matches(".highlight") ? place.querySelector("code").textContent : "";
    const first = shown.trim().split("\n", 1)[0];
    const code = this.code();
    const at = first ? code.indexOf(first) : code.search(FIRST_CODE);
    if (at > 0) {
      this.editor.dispatch({ selection: { anchor: at } });
      requestAnimationFrame(() => {
        this.editor.scrollDOM.scrollTop = this.editor.lineBlockAt(at).top;
      });
    }
    this.root.scrollIntoView({ block: "start" });
  }

  run() {
    if (this.busy) return;
    this.output.textContent = "";
    this.figures.textContent = "";
    const { check, files } = this.exercise ?? {};
    this.ranCode = this.code();
    this.begin({ command: "run", code: this.ranCode, check, files });
  }

  changed() {
    keepDraft(this.id, this.original, this.code());
    this.update();
  }

  code() {
    return this.editor.state.doc.toString();
  }

  /** Draws the figures of the program that ran, which is the one in the editor. */
  draw() {
    this.figures.textContent = "";
    this.begin({ command: "draw" });
  }

  begin(message) {
    this.busy = true;
    this.began = performance.now();
    this.ticking = setInterval(() => (this.clock.textContent = ` ${this.seconds().toFixed(0)} s`), 1000);
    this.drawing = message.command === "draw";
    this.say(this.worker ? "Running…" : "Loading Python, 9 MB the first time…");
    if (this.drawing) this.say("Drawing…");
    if (!this.worker) {
      this.worker = new Worker(new URL("worker.mjs", here), { type: "module" });
      this.worker.onmessage = ({ data }) => this.hear(data);
      this.worker.onerror = (event) => this.stop(`Python could not be loaded. ${event.message ?? ""}`);
    }
    this.worker.postMessage({ name: this.name, ...message });
    this.update();
  }

  hear({ type, value }) {
    if (type === "out") this.write(value);
    else if (type === "figure") this.figures.append(figure(value));
    else if (value === "running" && !this.drawing) this.say("Running…");
    else if (value !== "running") {
      const done = this.exercise ? "Solved: every check passes." : `Done in ${this.seconds().toFixed(1)} s.`;
      const failed = this.exercise ? "Not yet: see below what is missing." : "Ended with an error, shown below.";
      this.end(value === "done" ? done : failed);
      if (value === "done") this.exercise?.solved();
      this.ran = value === "done" || this.drawing;
      this.update();
    }
  }

  seconds() {
    return (performance.now() - this.began) / 1000;
  }

  end(text) {
    clearInterval(this.ticking);
    this.clock.textContent = "";
    this.busy = this.ran = false;
    this.say(text);
  }

  write(text) {
    const follow = this.output.scrollTop + this.output.clientHeight >= this.output.scrollHeight - 4;
    this.output.append(text);
    if (this.output.textContent.length > KEPT) {
      this.output.textContent = `[earlier output left out]\n${this.output.textContent.slice(-KEPT / 2)}`;
    }
    if (follow) this.output.scrollTop = this.output.scrollHeight;
  }

  stop(why) {
    this.worker?.terminate();
    this.worker = undefined;
    this.end(why);
    this.update();
  }

  reset() {
    this.editor.dispatch({ changes: { from: 0, to: this.editor.state.doc.length, insert: this.original } });
    this.say("The original code is back.");
  }

  /** Stop, and go. What was changed is still there when the panel opens again. */
  close() {
    this.stop("");
    this.root.remove();
    this.opener.focus();
  }

  say(text) {
    this.status.textContent = text;
  }

  update() {
    const focus = document.activeElement;
    this.runButton.disabled = this.busy;
    this.stopButton.disabled = !this.busy;
    const code = this.code();
    this.drawButton.disabled = this.busy || !this.ran || code !== this.ranCode || !/^def draw_/m.test(code);
    if (focus === this.runButton && this.busy) this.stopButton.focus();
    if (focus === this.stopButton && !this.busy) this.runButton.focus();
  }
}

function figure(svg) {
  const made = element("figure", {});
  made.innerHTML = svg;
  return made;
}

async function text(file) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: ${answer.status} ${answer.statusText}`);
  return answer.text();
}

/** The panel called `id`, made on the first call: there is one, however often it is asked for. */
function panelOf(id, make) {
  if (!panels.has(id)) {
    panels.set(id, make());
    panels.get(id).catch(() => panels.delete(id)); // the next call tries again
  }
  return panels.get(id);
}

/** Open the panel of a snippet behind `place` and run it; on closing, back to `opener`. */
export async function open(name, file, place, opener) {
  const panel = await panelOf(name, async () => new Panel(name, name, await text(file)));
  panel.show(place, opener);
  panel.runButton.focus({ preventScroll: true });
  panel.run();
}

/** Open an exercise behind `place`, with what it starts from; nothing runs yet.
 *
 * `imports` are the addresses of the snippets that its code imports; `solved` is called
 * whenever what the reader wrote passes `check`.
 */
export async function solve(id, { start, check, imports, solved }, place, opener) {
  const panel = await panelOf(id, async () => {
    const files = {};
    for (const file of imports) files[file.pathname.split("/").pop()] = await text(file);
    return new Panel(id, "exercise", start, { check, files, solved });
  });
  panel.show(place, opener);
  panel.editor.focus();
}
