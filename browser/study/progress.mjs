// What a reader has read, answered, solved and reviewed: kept in this browser, nowhere else.
//
// The stored form is a JSON object with a version. A section maps a name to a record, and
// every record says when it was made (`at`, in milliseconds): of two, the newer one counts.

const FORMAT = "rederived-progress";
const PLACE = "rederived"; // in localStorage
const LARGEST = 5_000_000; // letters
const NAME = /^[a-z][\w/#.-]{0,200}$/;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isFlag = (value) => typeof value === "boolean";
const FIELDS = {
  pages: { read: isFlag },
  questions: { right: isFlag },
  exercises: { solved: isFlag },
  cards: {
    due: isNumber,
    stability: isNumber,
    difficulty: isNumber,
    elapsed_days: isNumber,
    scheduled_days: isNumber,
    learning_steps: isNumber,
    reps: isNumber,
    lapses: isNumber,
    state: (value) => [0, 1, 2, 3].includes(value),
    last_review: isNumber,
  },
};
export const SECTIONS = Object.keys(FIELDS);

// a version → what brings it to the next
const FORWARD = {
  1: (old) => ({ ...old, version: 2, cards: {} }), // before there was a review
};
export const VERSION = 1 + Math.max(...Object.keys(FORWARD).map(Number));

export const empty = () => ({
  format: FORMAT,
  version: VERSION,
  ...Object.fromEntries(SECTIONS.map((section) => [section, {}])),
});

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The progress in a text, brought forward to this version.
 *
 * Throws an Error whose message tells the reader what is wrong.
 */
export function parse(text) {
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
  if (found.version > VERSION) {
    throw new Error(`This file comes from a newer edition of the site (${found.version}, here ${VERSION}): reload the page.`);
  }
  while (found.version < VERSION) found = FORWARD[found.version](found);
  const progress = empty();
  for (const section of SECTIONS) {
    if (!isObject(found[section])) throw damaged(`“${section}” is missing`);
    const records = Object.entries(found[section]).map(([name, record]) => {
      if (!NAME.test(name) || !isObject(record)) throw damaged(`“${section}” holds what does not belong there`);
      const fields = { ...FIELDS[section], at: (value) => isNumber(value) && value > 0 };
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
export function merge(ours, theirs) {
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
    this.memory = empty(); // what was kept here, or could not be
    addEventListener("storage", (event) => {
      if (event.key !== PLACE && event.key !== null) return;
      this.memory = empty(); // another tab has written: what it kept counts
      this.changed();
    });
  }

  read() {
    let text;
    try {
      text = localStorage.getItem(PLACE);
    } catch {
      this.tell("This browser keeps nothing for this site: your progress lasts until the page closes.");
    }
    if (!text) return this.memory;
    try {
      return merge(parse(text), this.memory).merged;
    } catch (error) {
      const aside = `${PLACE}-unread-${Date.now()}`;
      try {
        localStorage.setItem(aside, text);
        localStorage.removeItem(PLACE);
        this.tell(`The progress stored in this browser could not be read, and was put aside as “${aside}”. ${error.message}`);
      } catch {
        this.tell(`The progress stored in this browser cannot be read. ${error.message}`);
      }
      return this.memory;
    }
  }

  write(progress) {
    this.memory = progress;
    try {
      localStorage.setItem(PLACE, JSON.stringify(progress));
    } catch {
      this.tell("This browser has no room left or keeps nothing for this site: export your progress before you close the page.");
    }
    this.changed();
  }

  /** Note one thing, on top of whatever other tabs have noted meanwhile. */
  note(section, name, record) {
    const fresh = { ...empty(), [section]: { [name]: { ...record, at: Date.now() } } };
    this.write(merge(this.read(), fresh).merged);
  }

  /** Take in the progress of a file; how many of its records were newer. */
  take(text) {
    const { merged, taken } = merge(this.read(), parse(text));
    this.write(merged);
    return taken;
  }

  clear() {
    this.write(empty());
  }

  onchange(listener) {
    this.listeners.push(listener);
    listener(this.read());
  }

  changed() {
    for (const listener of this.listeners) listener(this.read());
  }
}
