// On every page: what its reader answers, solves and has read, and marks beside links.

import { Store } from "./progress.mjs";
import { arm } from "./questions.mjs";
import { tell } from "./tell.mjs";

const store = new Store(tell);
const root = new URL("..", document.currentScript.src);

// Without a network the site opens from what the service worker has kept. It fetches a
// megabyte when it first comes: not while the page is still being painted.
if (navigator.serviceWorker && location.protocol !== "file:") {
  const register = () => navigator.serviceWorker.register(new URL("sw.js", root)).catch(() => {});
  addEventListener("load", () => setTimeout(register, 3000));
}

const card = document.querySelector(".card[data-page]");

if (card) {
  const page = card.dataset.page;
  arm(document, (name, right) => store.note("questions", `${page}#${name}`, { right }));
  document.addEventListener("solved", (event) => {
    store.note("exercises", `${page}#${event.target.id}`, { solved: true });
  });
  const [button, words] = card.querySelector(".progress").children;
  button.hidden = false;
  button.onclick = () => store.note("pages", page, { read: !store.read().pages[page]?.read });
  store.onchange((progress) => {
    button.textContent = progress.pages[page]?.read ? "Not read after all" : "Mark as read";
    words.textContent = state(progress, page, card.dataset);
  });
}

const places = document.querySelectorAll("[data-page]:not(.card, section)");
for (const place of places) {
  if (place instanceof SVGElement) continue;
  const mark = document.createElement("small");
  mark.className = "mark";
  (place.querySelector(".tally") ?? place.querySelector("small") ?? place.querySelector("a")).after(" ", mark);
}
store.onchange((progress) => {
  for (const place of places) {
    const words = state(progress, place.dataset.page, place.dataset);
    if (place instanceof SVGElement) place.classList.toggle("read", Boolean(progress.pages[place.dataset.page]?.read));
    else place.querySelector(".mark").textContent = words;
  }
});

/** “Read · 3 of 6 questions right · exercise solved”, as far as there is something to say. */
function state(progress, page, { questions = "", exercises = "" }) {
  const asked = questions.split(" ").filter(Boolean);
  const right = asked.filter((name) => progress.questions[`${page}#${name}`]?.right).length;
  const set = exercises.split(" ").filter(Boolean);
  const solved = set.filter((name) => progress.exercises[`${page}#${name}`]?.solved).length;
  return [
    progress.pages[page]?.read && "read",
    right && `${right} of ${asked.length} questions right`,
    solved && (solved === 1 ? "an exercise solved" : `${solved} exercises solved`),
  ]
    .filter(Boolean)
    .join(" · ");
}
