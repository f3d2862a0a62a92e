// The questions of a page: a form or an open question, and beside it, folded, the answer.
//
// Nothing is final: a wrong answer can be changed, and the right one stays hidden until it
// is given or opened.

const number = (typed) => {
  const spaceless = typed.replace(/[\s_]/g, "");
  const thousands = /^[-−–+]?[1-9]\d{0,2}(,\d{3})+(?![\d,])/.test(spaceless);
  const plain = (thousands ? spaceless.replaceAll(",", "") : spaceless).replace(/[−–]/g, "-").replace(/[×x·]10\^?/, "e");
  return plain === "" ? NaN : Number(plain);
};

/** Whether a form is answered rightly (undefined: not answered), and what to say of it. */
const judge = (form) => {
  const { right, number: wanted, tolerance } = form.dataset;
  if (wanted !== undefined) {
    const given = number(form.elements.answer.value);
    if (Number.isNaN(given)) return [undefined, "Type a number, such as 51600, 0.25 or 3.3e18."];
    if (Math.abs(given - Number(wanted)) <= Number(tolerance)) return [true, "Right."];
    return [false, given < Number(wanted) ? "Not yet: it is more." : "Not yet: it is less."];
  }
  const given = new FormData(form).getAll("answer");
  if (!given.length) return [undefined, "Choose an answer first."];
  const wantedOnes = right.split(" ");
  const hits = given.filter((one) => wantedOnes.includes(one)).length;
  if (hits === wantedOnes.length && hits === given.length) return [true, "Right."];
  if (wantedOnes.length === 1) return [false, "Not this one. Try another, or open the answer."];
  return [false, `Not yet: ${hits} of your ${given.length} are right, and ${wantedOnes.length} are looked for.`];
};

/** Make the questions inside `root` answerable; `answered(name, right)` is told of each answer. */
export function arm(root, answered) {
  for (const asked of root.querySelectorAll(".asked")) {
    const folded = asked.querySelector("details.question");
    const form = asked.querySelector("form");
    if (form) armForm(form, folded, (right) => answered(asked.id, right));
    else armOpen(folded, (right) => answered(asked.id, right));
  }
}

function armForm(form, folded, answered) {
  const said = form.querySelector("output");
  form.querySelector("button").hidden = false;
  form.addEventListener("input", () => {
    said.textContent = said.className = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [right, words] = judge(form);
    said.textContent = words;
    said.className = right === true ? "right" : "";
    if (right === true) folded.open = true;
    if (right !== undefined) answered(right);
  });
}

/** An open question has no judge but its reader, once the answer is unfolded. */
function armOpen(folded, answered) {
  const group = document.createElement("p");
  const said = document.createElement("output");
  const button = (words, right) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "md-button";
    made.textContent = words;
    made.onclick = () => {
      said.textContent = right ? "Noted: you knew it." : "Noted: for another day.";
      answered(right);
    };
    return made;
  };
  group.className = "judge";
  group.append(button("I knew it", true), " ", button("Not yet", false), " ", said);
  folded.append(group);
}
