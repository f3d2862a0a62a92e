// The questions of all pages as a deck of cards, each shown when FSRS finds it due; and the
// reader's progress as a file.

import { createEmptyCard, fsrs, Rating } from "ts-fsrs";

import { Store } from "./progress.mjs";
import { arm } from "./questions.mjs";
import { tell } from "./tell.mjs";

const AT_ONCE = 10; // new cards in one go
const GRADES = [
  [Rating.Again, "Again"],
  [Rating.Hard, "Hard"],
  [Rating.Good, "Good"],
  [Rating.Easy, "Easy"],
];
const scheduler = fsrs();
const store = new Store(tell);
const $ = (selector) => document.querySelector(selector);
const deck = $(".deck");

// name → the element of the question
const cards = new Map(
  [...deck.querySelectorAll(".asked")].map((asked) => [`${asked.closest("section").dataset.page}#${asked.id}`, asked]),
);
arm(deck, () => {}); // here the grades count, not the answers
for (const button of deck.querySelectorAll(".judge")) button.remove();

const fromStored = ({ at, ...kept }) => ({ ...kept, due: new Date(kept.due), last_review: new Date(kept.last_review) });
const toStored = (card) => ({ ...card, due: card.due.getTime(), last_review: card.last_review.getTime() });

/** What is due, what comes next, what is new: names in the order in which to show them. */
function queue() {
  const progress = store.read();
  const now = Date.now();
  const chosen = [...cards.keys()].filter((name) => !$("#only-read").checked || progress.pages[name.split("#")[0]]?.read);
  const known = chosen.filter((name) => name in progress.cards);
  const byDue = (a, b) => progress.cards[a].due - progress.cards[b].due;
  return {
    due: known.filter((name) => progress.cards[name].due <= now).sort(byDue),
    later: known.filter((name) => progress.cards[name].due > now).sort(byDue),
    fresh: chosen.filter((name) => !(name in progress.cards)),
  };
}

const period = (milliseconds) => {
  const units = [
    [365.25 * 864e5, "year"],
    [30.44 * 864e5, "month"],
    [864e5, "day"],
    [36e5, "hour"],
    [6e4, "minute"],
  ];
  const [length, unit] = units.find(([size]) => milliseconds >= size) ?? units.at(-1);
  const count = Math.max(1, Math.round(milliseconds / length));
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
};

let shown; // the name of the card on the table
let left; // how many new ones may still come

function tally() {
  const { due, later, fresh } = queue();
  $("#due").textContent = due.length;
  $("#new").textContent = fresh.length;
  $("#later").textContent = later.length;
  $("#next").textContent =
    !due.length && later.length ? `The next is due in ${period(store.read().cards[later[0]].due - Date.now())}.` : "";
}

function next() {
  const { due, fresh } = queue();
  const name = due[0] ?? (left > 0 ? fresh[0] : undefined);
  put(undefined);
  if (name === undefined) {
    tell(fresh.length && left <= 0 ? "Enough that is new for now; begin again for more." : "Nothing is due now.");
    return end();
  }
  if (!due.length) left -= 1;
  put(name);
}

/** Lay a card on the table, or clear it. */
function put(name) {
  const table = $("#table");
  if (shown) {
    const asked = cards.get(shown);
    asked.home.replaceWith(asked);
  }
  shown = name;
  $("#grades").hidden = true;
  if (!name) return;
  const asked = cards.get(name);
  asked.home = document.createComment("the card lies on the table");
  asked.replaceWith(asked.home);
  table.append(asked);
  const folded = asked.querySelector("details");
  folded.open = false;
  asked.querySelector("form")?.reset();
  const said = asked.querySelector("output");
  if (said) said.textContent = "";
  folded.ontoggle = () => folded.open && shown === name && offer();
  const section = asked.home.parentElement;
  $("#from").replaceChildren("From ", section.querySelector("a").cloneNode(true));
  (asked.querySelector("input") ?? folded.querySelector("summary")).focus();
}

/** Offer the grades, each with when the card would come back. */
function offer() {
  const kept = store.read().cards[shown];
  const now = new Date(Math.max(Date.now(), kept?.last_review ?? 0)); // a clock may have been ahead
  const outcomes = scheduler.repeat(kept ? fromStored(kept) : createEmptyCard(now), now);
  const buttons = $("#grades").querySelectorAll("button");
  GRADES.forEach(([grade, word], index) => {
    const { card } = outcomes[grade];
    buttons[index].textContent = `${word}: ${period(card.due - now)}`;
    buttons[index].onclick = () => {
      store.note("cards", shown, toStored(card));
      next();
    };
  });
  $("#grades").hidden = false;
  if (document.activeElement.tagName !== "INPUT") buttons[2].focus();
}

function begin() {
  left = AT_ONCE;
  $("#session").hidden = false;
  deck.hidden = true;
  next();
}

function end() {
  put(undefined);
  $("#session").hidden = true;
  deck.hidden = false;
  $("#begin").focus();
}

$("#begin").onclick = begin;
$("#end").onclick = end;
$("#only-read").onchange = tally;
document.addEventListener("keydown", (event) => {
  const index = ["1", "2", "3", "4"].indexOf(event.key);
  if (event.ctrlKey || event.altKey || event.metaKey) return; // the browser's: another tab
  if (shown && index >= 0 && !$("#grades").hidden && event.target.tagName !== "INPUT") {
    $("#grades").querySelectorAll("button")[index].click();
  }
});
store.onchange(tally);

// Progress as a file

$("#export").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(store.read(), null, 1)], { type: "application/json" }));
  link.download = `rederived-progress-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};
$("#import").onchange = async ({ target }) => {
  const said = $("#imported");
  try {
    const taken = store.take(await target.files[0].text());
    said.textContent = `Taken in: ${taken} ${taken === 1 ? "record was" : "records were"} newer than what was here, the rest stayed.`;
  } catch (error) {
    said.textContent = `${error.message} Nothing was changed.`;
  }
  target.value = "";
};
$("#clear").onclick = () => {
  if (confirm("Forget everything this browser knows of your progress? A file that you exported can bring it back.")) {
    store.clear();
    $("#imported").textContent = "Cleared.";
  }
};

// All pages at once, for a journey: where a service worker is there to keep them

navigator.serviceWorker?.ready.then((registration) => {
  const button = $("#keep");
  button.hidden = false;
  button.onclick = () => {
    const said = $("#kept");
    said.textContent = "Fetching every page…";
    const channel = new MessageChannel();
    channel.port1.onmessage = ({ data: [kept, all] }) => {
      said.textContent = kept === all ? `All ${all} are here now.` : `${kept} of ${all} came; try again for the rest.`;
    };
    registration.active.postMessage("keep all", [channel.port2]);
  };
});
for (const hidden of document.querySelectorAll(".study [hidden].ready")) hidden.hidden = false;
