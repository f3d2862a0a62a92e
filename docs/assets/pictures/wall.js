// Two descents against the wall: `descend` of snippets/gradient_clipping.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { start, threshold, from } = fieldset.form;
  const table = fieldset.querySelector("table");
  const sigmoid = (z) => 0.5 * (1 + Math.tanh(0.5 * z));
  const fixed = (x, digits) => x.toFixed(digits).replace(/-(?=.*[1-9])/, "−").replace("-", "");

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
  // error, gradient norm, weight and bias before each of 60 updates
  const descend = (w, b, limit) =>
    Array.from({ length: 60 }, () => {
      const [error, dw, db] = errorAndGradient(w, b);
      const norm = Math.hypot(dw, db);
      const now = [error, norm, w, b];
      const rate = 0.1 * Math.min(1, limit / Math.max(norm, limit));
      w -= rate * dw;
      b -= rate * db;
      return now;
    });

  const draw = () => {
    const limit = 10 ** threshold.value;
    const first = +from.value;
    [...table.tHead.rows[0].cells].slice(1).forEach((cell, k) => {
      cell.textContent = first + k;
    });
    const longest = [Number.MAX_VALUE, limit].map((most, rule) => {
      const run = descend(5.2, +start.value, most);
      [...table.tBodies[rule].rows].slice(1).forEach((row, what) => {
        [...row.cells].slice(1).forEach((cell, k) => {
          const x = run[first + k][what];
          if (what === 0) cell.style.setProperty("--p", 2 * x);
          if (what === 1) cell.className = x > most ? "right" : "";
          cell.textContent = fixed(x, what === 0 ? 3 : Math.abs(x) < 100 ? 2 : 0);
        });
      });
      return 0.1 * Math.max(...run.map(([, norm]) => Math.min(norm, most)));
    });
    const words = [fixed(+start.value, 2), limit.toFixed(1)];
    start.setAttribute("aria-valuetext", words[0]);
    threshold.setAttribute("aria-valuetext", words[1]);
    fieldset.querySelector("output").textContent =
      `start b = ${words[0]}, threshold ${words[1]}: the longest of 60 steps is ${fixed(longest[0], 2)} without clipping, ${fixed(longest[1], 2)} with it`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
