// The "hello" figure at any temperature, computed as in snippets/hello_logits.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const slider = fieldset.querySelector("input");
  const steps = [...fieldset.querySelectorAll("tbody tr")];
  const sum = (numbers) => numbers.reduce((a, b) => a + b);

  const draw = () => {
    let total = 0;
    for (const step of steps) {
      const cells = [...step.querySelectorAll("[data-y]")];
      // p_k = exp(y_k / tau) / sum_j exp(y_j / tau)
      const z = cells.map((cell) => cell.dataset.y / slider.value);
      const e = z.map((score) => Math.exp(score - Math.max(...z)));
      const p = e.map((x) => x / sum(e));
      cells.forEach((cell, k) => {
        cell.style.setProperty("--p", p[k]);
        cell.lastChild.textContent = p[k].toFixed(3);
      });
      const loss = -Math.log(p[cells.findIndex((cell) => cell.className)]);
      const [lossCell, entropyCell] = [...step.cells].slice(-2);
      lossCell.textContent = loss.toFixed(3);
      entropyCell.textContent = (-sum(p.map((x) => x * Math.log2(x)))).toFixed(3);
      total += loss;
    }
    const mean = total / steps.length;
    const verdict = mean > Math.log(4) ? "worse" : "better";
    fieldset.querySelector("output").textContent =
      `temperature ${(+slider.value).toFixed(1)}: mean loss ${mean.toFixed(3)} nats, ${verdict} than a uniform guess`;
  };
  slider.addEventListener("input", draw);
  fieldset.disabled = false;
}
