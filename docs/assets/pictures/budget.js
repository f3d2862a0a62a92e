// The optimum of a budget by three laws: `optimum`, `loss`, `wasted` and `gpu_flops` of
// snippets/compute_optimal.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { budget, unit, power, peak, used, truth } = fieldset.form;
  const output = fieldset.querySelector("output");
  const table = fieldset.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const laws = rows.map((row) => JSON.parse(row.dataset.law));
  const units = ["", " thousand", " million", " billion", " trillion"];

  const short = (text) => text.replace("e+", "e");
  // 40400000000 is 40.4 billion
  const big = (x) => {
    if (x < 1) return x.toFixed(3);
    const [digits, exponent] = x.toExponential(2).split("e");
    const unit = units[Math.floor(exponent / 3)];
    const more = exponent % 3;
    return unit === undefined
      ? short(x.toExponential(2))
      : (digits * 10 ** more).toFixed(2 - more) + unit;
  };
  // for a field, with so many digits
  const plain = (x, digits) => {
    const rounded = +x.toPrecision(digits);
    return rounded < 1e9 ? `${rounded}` : short(rounded.toExponential());
  };

  const loss = ([A, B, E, alpha, beta], [N, D]) => E + A / N ** alpha + B / D ** beta;
  const optimum = ([A, B, , alpha, beta], C) => {
    const G = ((alpha * A) / (beta * B)) ** (1 / (alpha + beta));
    const N = G * (C / 6) ** (beta / (alpha + beta));
    return [N, C / (6 * N)];
  };
  const wasted = (law, choice, C) => {
    const [, , E, alpha, beta] = law;
    const least = loss(law, optimum(law, C)) - E;
    return 1 - (least / (loss(law, choice) - E)) ** (1 / alpha + 1 / beta);
  };

  let C = 5.76e23;
  const draw = ({ target }) => {
    const hour = 3600 * peak.value * 1e12 * (used.value / 100);
    const one = unit.value === "FLOPs" ? 1 : hour;
    if (target === power) budget.value = plain(10 ** power.value / one, 3);
    if (target === unit) budget.value = plain(C / one, 6);
    used.setAttribute("aria-valuetext", `${used.value}%`);
    if (!(budget.value > 0 && peak.value > 0)) {
      output.textContent = "budget and peak must be numbers above 0";
      return;
    }
    C = budget.value * one;
    if (target !== power) power.value = Math.log10(C);
    const flops = `${short(C.toExponential(2))} FLOPs`;
    power.setAttribute("aria-valuetext", flops);

    const law = laws[truth.value];
    const found = laws.map((other) => {
      const [N, D] = optimum(other, C);
      return [N, D, D / N, loss(other, [N, D]), Math.max(0, wasted(law, [N, D], C))];
    });
    const most = found[0].map((_, k) => Math.max(...found.map((values) => values[k])));
    const least = found[0].map((_, k) => Math.min(...found.map((values) => values[k])));
    const texts = [
      big,
      big,
      (x) => x.toFixed(1),
      (x) => x.toFixed(3),
      (x) => `${(100 * x).toFixed(1)}%`,
    ];
    rows.forEach((row, i) => {
      [...row.cells].slice(1).forEach((cell, k) => {
        cell.textContent = texts[k](found[i][k]);
        if (k !== 3) cell.style.setProperty("--p", found[i][k] / (k < 3 ? most[k] : 1));
      });
    });
    [...table.tFoot.rows[0].cells].slice(1, 5).forEach((cell, k) => {
      cell.textContent =
        k < 3 ? `factor ${(most[k] / least[k]).toFixed(2)}` : (most[k] - least[k]).toFixed(3);
    });
    const right = truth.selectedOptions[0].textContent.trim();
    output.textContent =
      `${flops}, ${big(C / hour)} GPU-hours: ${big(least[0])} to ${big(most[0])} parameters; ` +
      `if the ${right} constants are right, the worst choice wastes ${texts[4](most[4])}`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
