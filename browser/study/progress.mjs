// What a reader has read, answered, solved and reviewed: kept in this browser, nowhere else.
//
// The stored form is a JSON object with a version. A section maps a name to a record, and
// every record says when it was made (`at`, in milliseconds): of two, the newer one counts.

const FORMAT = "rederived-progress";
const PLACE = "rederived"; // in localStorage
const ASIDE = `${PLACE}-unread-`; // and a time: what could not be read
const LARGEST = 5_000_000; // letters
const NAME = /^[a-z][\w/#.-]{0,200}$/;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isTime = (value) => isNumber(value) && value > 0 && value < 8.64e15; // what a Date can hold
const isFlag = (value) => typeof value === "boolean";
const FIELDS = {
  pages: { read: isFlag },
  questions: { right: isFlag },
  exercises: { solved: isFlag },
  cards: {
    due: isTime,
    stability: (value) => isNumber(value) && value > 0,
    difficulty: (value) => isNumber(value) && value >= 1 && value <= 10,
    elapsed_days: isNumber,
    scheduled_days: isNumber,
    learning_steps: isNumber,
    reps: isNumber,
    lapses: isNumber,
    state: (value) => [0, 1, 2, 3].includes(value),
    last_review: isTime,
  },
};
const SECTIONS = Object.keys(FIELDS);

// a version → what brings it to the next
const FORWARD = {
  1: (old) => ({ ...old, version: 2, cards: {} }), // before there was a review
};
const VERSION = 1 + Math.max(...Object.keys(FORWARD).map(Number));

const empty = () => ({
  format: FORMAT,
  version: VERSION,
  ...Object.fromEntries(SECTIONS.map((section) => [section, {}])),
});

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The text is of a version that only a later edition of the site knows. */
class NewerEdition extends Error {
  constructor(version) {
    const compared = `${version}, here ${VERSION}`;
    super(`This file comes from a newer edition of the site (${compared}): reload the page.`);
    this.compared = compared;
  }
}

/** The progress in a text, brought forward to this version.
 *
 * Throws an Error whose message tells the reader what is wrong.
 */
function parse(text) {
  if (text.length > LARGEST) throw new Error("This file is too large to be a progress file.");
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error("This is no progress file, or a damaged one: it cannot be read as JSON.");
  }
  if (!isObject(found) || found.format !== FORMAT) throw new Error("This is not a progress file of this site.");
  const damaged = (where) => new Error(`This progress file is damaged: ${where}.`);
  if (!Number.isInteger(found.version) || found.version < 1) throw damaged("its version is missing");
  if (found.version > VERSION) throw new NewerEdition(found.version);
  while (found.version < VERSION) found = FORWARD[found.version](found);
  const progress = empty();
  for (const section of SECTIONS) {
    if (!isObject(found[section])) throw damaged(`“${section}” is missing`);
    const records = Object.entries(found[section]).map(([name, record]) => {
      if (!NAME.test(name) || !isObject(record)) throw damaged(`“${section}” holds what does not belong there`);
      const fields = { ...FIELDS[section], at: isTime };
      for (const [field, fits] of Object.entries(fields)) {
        if (!fits(record[field])) throw damaged(`“${field}” of “${name}” is missing or wrong`);
      }
      return [name, Object.fromEntries(Object.keys(fields).map((field) => [field, record[field]]))];
    });
    progress[section] = Object.fromEntries(records);
  }
  return progress;
}

/** Both together; where both know a thing, the newer record. */
function merge(ours, theirs) {
  const merged = empty();
  let taken = 0;
  for (const section of SECTIONS) {
    merged[section] = { ...ours[section] };
    for (const [name, record] of Object.entries(theirs[section])) {
      if (merged[section][name]?.at >= record.at) continue;
      merged[section][name] = record;
      taken += 1;
    }
  }
  return { merged, taken };
}

/** The reader's progress in this browser. `tell(text)` is called where it cannot be kept. */
export class Store {
  constructor(tell) {
    this.tell = tell;
    this.listeners = [];
    this.unstored = empty(); // what could not be kept: it lasts as long as the page
    addEventListener("storage", ({ key }) => {
      if (key === PLACE || key === null) this.changed(); // another tab has written
    });
  }

  /** What is stored; undefined where it must not be written over. */
  stored() {
    let text;
    try {
      text = localStorage.getItem(PLACE);
    } catch {
      this.tell("This browser keeps nothing for this site: your progress lasts until the page closes.");
      return undefined;
    }
    if (!text) return empty();
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof NewerEdition) {
        this.tell(
          `The progress in this browser was stored by a newer edition of the site (${error.compared}) and stays as it is: ` +
            "reload the page. What you do before lasts until then.",
        );
        return undefined;
      }
      const aside = `${ASIDE}${Date.now()}`;
      try {
        localStorage.setItem(aside, text);
        localStorage.removeItem(PLACE);
      } catch {
        this.tell(`The progress stored in this browser cannot be read and stays as it is; what you do lasts until the page closes. ${error.message}`);
        return undefined;
      }
      this.tell(`The progress stored in this browser could not be read, and was put aside as “${aside}”. ${error.message}`);
      return empty();
    }
  }

  read() {
    return merge(this.stored() ?? empty(), this.unstored).merged;
  }

  /** Take in the records that are newer, on top of what other tabs have noted; how many. */
  add(records) {
    const stored = this.stored();
    const { merged, taken } = merge(merge(stored ?? empty(), this.unstored).merged, records);
    this.unstored = merged;
    if (stored) this.keep();
    this.changed();
    return taken;
  }

  keep() {
    try {
      localStorage.setItem(PLACE, JSON.stringify(this.unstored));
      this.unstored = empty();
    } catch {
      this.tell("This browser has no room left or keeps nothing for this site: export your progress before you close the page.");
    }
  }

  /** Note one thing: the latest that is known of it, even if a clock was ahead before. */
  note(section, name, record) {
    const at = Math.max(Date.now(), 1 + (this.read()[section][name]?.at ?? 0));
    this.add({ ...empty(), [section]: { [name]: { ...record, at } } });
  }

  /** Take in the progress of a file; how many of its records were newer. */
  take(text) {
    return this.add(parse(text));
  }

  /** Forget everything: what was put aside too, and drafts of code. */
  clear() {
    this.unstored = empty();
    try {
      for (const key of Object.keys(localStorage)) if (key.startsWith(`${PLACE}-`)) localStorage.removeItem(key);
    } catch {
      // where nothing can be kept, nothing was
    }
    this.keep();
    this.changed();
  }

  onchange(listener) {
    this.listeners.push(listener);
    listener(this.read());
  }

  changed() {
    for (const listener of this.listeners) listener(this.read());
  }
}
