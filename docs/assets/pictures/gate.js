// A memory whose gate obeys a mark: `hold_marked` of snippets/minimal_gated_units.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { cell, mark, unit, bias } = fieldset.form;
  const sees = { MGU: "WUb", MGU1: "Ub", MGU2: "U", MGU3: "b" };
  const [candidates, marks, seconds, gates, states] = [
    ...fieldset.querySelectorAll("tbody tr"),
  ].map((row) => [...row.querySelectorAll("td")]);
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));
  const minus = (text) => `${text}`.replace("-", "−");
  const fixed = (x) => minus(x.toFixed(2).replace(/^-(?=[0.]*$)/, ""));
  const bar = (td, x) => {
    td.style.setProperty("--p", x);
    td.textContent = fixed(x);
  };

  const draw = () => {
    const terms = Object.entries({ W: mark, U: unit, b: bias }).filter(([letter, slider]) => {
      slider.disabled = !sees[cell.value].includes(letter);
      slider.setAttribute("aria-valuetext", minus(slider.value));
      return !slider.disabled;
    });
    const [w, u, b] = [mark, unit, bias].map((slider) => (slider.disabled ? 0 : +slider.value));
    const f2 = sigmoid(bias.disabled ? 0 : 10);
    let h = 0;
    let second = 0;
    let last = "nothing is marked";
    candidates.forEach((td, t) => {
      const marked = +marks[t].firstChild.checked;
      const candidate = Math.tanh(td.dataset.x);
      const f = sigmoid(w * marked + u * second + b);
      h = (1 - f) * h + f * candidate;
      second = (1 - f2) * second + f2 * Math.tanh(3 * marked);
      if (marked) last = `the last marked candidate is ${fixed(candidate)}`;
      seconds[t].textContent = fixed(second);
      bar(gates[t], f);
      bar(states[t], h);
    });
    const set = terms.map(([letter, slider]) => `${letter} = ${minus(slider.value)}`);
    fieldset.querySelector("output").textContent =
      `${cell.value}, ${set.join(", ")}: ${last}, the memory ends at ${fixed(h)}`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
