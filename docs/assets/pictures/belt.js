// An LSTM cell that obeys commands, computed as by `obey` in snippets/lstm.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const slider = fieldset.querySelector("input");
  const [values, write, erase, read, kept, belt, output] = [
    ...fieldset.querySelectorAll("tbody tr"),
  ].map((row) => [...row.querySelectorAll("td")]);
  const on = (cell) => cell.firstChild.checked;
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));
  const fixed = (x) => x.toFixed(2).replace(/-(?=.*[1-9])/, "−").replace("-", "");
  const show = (cell, x) => {
    cell.style.setProperty("--p", x);
    cell.textContent = fixed(x);
  };

  const draw = () => {
    const bias = +slider.value;
    let C = 0;
    values.forEach((cell, t) => {
      const f = sigmoid(bias - 20 * on(erase[t]));
      const i = sigmoid(20 * on(write[t]) - 10);
      const o = sigmoid(20 * on(read[t]) - 10);
      C = f * C + i * Math.tanh(cell.dataset.x);
      kept[t].textContent = fixed(f);
      show(belt[t], C);
      show(output[t], o * Math.tanh(C));
    });
    const f = sigmoid(bias);
    const halfLife = (Math.log(0.5) / Math.log(f)).toLocaleString("en", {
      minimumFractionDigits: 1,
      maximumFractionDigits: 1,
    });
    fieldset.querySelector("output").textContent =
      `forget bias ${bias.toFixed(1)}: the gate keeps ${f.toFixed(3)}, half-life ${halfLife} steps`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.form.addEventListener("reset", () => setTimeout(draw));
  fieldset.disabled = false;
}
