// Attention weights of one query over six keys, drawn by `first_entries` of
// snippets/attention.py, with the root of d_k and without.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { width, draw: seed } = fieldset.form;
  const rows = [...fieldset.querySelectorAll("tbody tr")];
  const norms = fieldset.querySelectorAll("tfoot td");
  const sum = (numbers) => numbers.reduce((a, b) => a + b);
  const softmax = (scores) => {
    const e = scores.map((x) => Math.exp(x - Math.max(...scores)));
    return e.map((x) => x / sum(e));
  };
  // the Frobenius norm of diag(p) - p p^T
  const jacobianNorm = (p) => {
    const s2 = sum(p.map((x) => x ** 2));
    return Math.sqrt(Math.max(s2 - 2 * sum(p.map((x) => x ** 3)) + s2 ** 2, 0));
  };
  const dotProducts = (dk, state) => {
    const next = () => {
      state = (48271 * state) % 2147483647;
      return Math.sqrt(12) * (state / 2147483647 - 0.5);
    };
    const scores = rows.map(() => 0);
    for (let i = 0; i < dk; i++) {
      const q = next();
      rows.forEach((_, j) => (scores[j] += q * next()));
    }
    return scores;
  };

  const draw = () => {
    const dk = 2 ** width.value;
    const scores = dotProducts(dk, +seed.value);
    const weights = [softmax(scores), softmax(scores.map((x) => x / Math.sqrt(dk)))];
    rows.forEach((row, j) => {
      row.cells[1].textContent = scores[j].toFixed(2).replace("-", "−");
      weights.forEach((p, column) => {
        row.cells[2 + column].style.setProperty("--p", p[j]);
        row.cells[2 + column].textContent = p[j].toFixed(3);
      });
    });
    weights.forEach((p, column) => {
      norms[column].textContent = jacobianNorm(p).toFixed(3);
    });
    const largest = weights.map((p) => Math.max(...p).toFixed(3));
    width.setAttribute("aria-valuetext", dk);
    fieldset.querySelector("output").lastChild.textContent = 
      ` = ${dk}, draw ${seed.value}: largest weight ${largest[0]} without the root, ${largest[1]} with it`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
