// The gradient back through one unit: `one_unit` of snippets/gradient_through_time.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { activation, weight, push } = fieldset.form;
  const [states, slopes, factors, gradients] = [
    ...fieldset.querySelectorAll("tbody tr"),
  ].map((row) => [...row.querySelectorAll("td")]);
  const fixed = (x) => x.toFixed(2).replace(/-(?=.*[1-9])/, "−").replace("-", "");
  const short = (x) => {
    if (x < 0.0005 || x >= 1000) return x.toExponential(0).replace("+", "").replace("-", "−");
    return x.toFixed(x < 0.1 ? 3 : x < 10 ? 2 : 0);
  };

  const draw = () => {
    const w = +weight.value;
    const x = +push.value;
    const tanh = activation.value === "tanh";
    let h = tanh ? 0 : 0.5;
    const steps = states.map(() => {
      const z = w * h + x;
      h = tanh ? Math.tanh(z) : 0.5 * (1 + Math.tanh(0.5 * z));
      return [h, tanh ? 1 - h ** 2 : h * (1 - h)];
    });
    let gradient = 1;
    steps.reverse().forEach(([state, slope], k) => {
      gradient *= w * slope;
      states[k].textContent = fixed(state);
      slopes[k].style.setProperty("--p", slope);
      slopes[k].textContent = fixed(slope);
      factors[k].textContent = fixed(w * slope);
      gradients[k].style.setProperty("--x", gradient);
      gradients[k].textContent = short(gradient);
    });
    push.setAttribute("aria-valuetext", fixed(x));
    fieldset.querySelector("output").textContent =
      `${activation.value}, weight ${w.toFixed(1)}, input ${fixed(x)}: 8 steps back the gradient is ${short(gradient)}`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
