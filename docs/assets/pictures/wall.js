// Two descents against the wall: `descend` of snippets/gradient_clipping.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { start, threshold, from } = fieldset.form;
  const table = fieldset.querySelector("table");
  const sigmoid = (z) => 0.5 * (1 + Math.tanh(0.5 * z));
  const decimals = (x, digits) =>
    x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

  const errorAndGradient = (w, b) => {
    let x = 0.5;
    let dw = 0;
    let db = 0;
    for (let t = 0; t < 50; t++) {
      const s = sigmoid(x);
      const jacobian = w * s * (1 - s);
      dw = s + jacobian * dw;
      db = 1 + jacobian * db;
      x = w * s + b;
    }
    const s = sigmoid(x);
    const dx = 2 * (s - 0.7) * s * (1 - s);
    return [(s - 0.7) ** 2, dx * dw, dx * db];
  };
  // error, gradient norm and length of the step of 60 updates
  const descend = (w, b, limit) =>
    Array.from({ length: 60 }, () => {
      const [error, dw, db] = errorAndGradient(w, b);
      const norm = Math.hypot(dw, db);
      const rate = 0.1 * Math.min(1, limit / Math.max(norm, limit));
      w -= rate * dw;
      b -= rate * db;
      return [error, norm, rate * norm];
    });

  const draw = ({ target } = {}) => {
    const limit = 10 ** threshold.value;
    const runs = [Number.MAX_VALUE, limit].map((most) => descend(5.2, +start.value, most));
    const [plain, clipped] = runs.map((run) => Math.max(...run.map(([, , step]) => step)));
    const worst = runs[0].findIndex(([, , step]) => step === plain);
    if (target === start) from.value = worst - 4;
    const first = +from.value;
    [...table.tHead.rows[0].cells].slice(1).forEach((cell, k) => {
      cell.textContent = first + k;
    });
    runs.forEach((run, rule) => {
      const [errors, gradients, steps] = [...table.tBodies[rule].rows]
        .slice(1)
        .map((row) => [...row.cells].slice(1));
      errors.forEach((cell, k) => {
        const [error, norm, step] = run[first + k];
        cell.style.setProperty("--p", 2 * error);
        cell.textContent = decimals(error, 3);
        gradients[k].style.setProperty("--x", norm);
        gradients[k].textContent = decimals(norm, norm < 100 ? 2 : 0);
        steps[k].className = rule && norm > limit ? "right" : "";
        steps[k].textContent = decimals(step, step < 100 ? 2 : 0);
      });
    });
    const words = [decimals(+start.value, 2).replace("-", "−"), decimals(limit, 1)];
    start.setAttribute("aria-valuetext", words[0]);
    threshold.setAttribute("aria-valuetext", words[1]);
    fieldset.querySelector("output").textContent =
      `start b = ${words[0]}: the longest of 60 steps is ${decimals(plain, 2)}, at update ${worst}; clipped at ${words[1]} none is longer than ${decimals(clipped, 2)}`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
