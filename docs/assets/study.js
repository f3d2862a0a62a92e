// What a reader answers and solves on a page.
//
// A question is a form; beside it, folded, stands its answer. Nothing is final: a wrong
// answer can be changed, and the right one stays hidden until it is given or opened.

const number = (typed) => {
  const plain = typed.trim().replace(/[,\s\u00a0\u2009\u202f_]/g, "").replace(/[−–]/g, "-").replace(/[×x·]10\^?/, "e");
  return plain === "" ? NaN : Number(plain);
};

/** Whether a form is answered rightly, and what to say of it. */
const judge = (form) => {
  const { right, number: wanted, tolerance } = form.dataset;
  if (wanted !== undefined) {
    const given = number(form.elements.answer.value);
    if (Number.isNaN(given)) return [false, "Type a number, such as 51600, 0.25 or 3.3e18."];
    if (Math.abs(given - Number(wanted)) <= Number(tolerance)) return [true, "Right."];
    return [false, given < Number(wanted) ? "Not yet: it is more." : "Not yet: it is less."];
  }
  const given = new FormData(form).getAll("answer");
  if (!given.length) return [false, "Choose an answer first."];
  const wantedOnes = right.split(" ");
  const hits = given.filter((one) => wantedOnes.includes(one)).length;
  if (hits === wantedOnes.length && hits === given.length) return [true, "Right."];
  if (wantedOnes.length === 1) return [false, "Not this one. Try another, or open the answer."];
  return [false, `Not yet: ${hits} of your ${given.length} are right, and ${wantedOnes.length} are looked for.`];
};

for (const form of document.querySelectorAll("form.check")) {
  const said = form.querySelector("output");
  form.querySelector("button").hidden = false;
  form.addEventListener("input", () => {
    said.textContent = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [right, words] = judge(form);
    said.textContent = words;
    said.className = right ? "right" : "";
    if (right) form.nextElementSibling.open = true;
  });
}
