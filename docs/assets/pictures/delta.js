// One state whose step size is its gate: `open_and_shut` of snippets/selective_scan.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { open, shut } = fieldset.form;
  const [values, opened, steps, shares, states] = [
    ...fieldset.querySelectorAll("tbody tr"),
  ].map((row) => [...row.querySelectorAll("td")]);
  const fixed = (x) => x.toFixed(2).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
  const bar = (td, x) => {
    td.style.setProperty("--p", x);
    td.textContent = fixed(x);
  };

  const draw = () => {
    let h = 0;
    let last = "no value is let in";
    values.forEach((td, t) => {
      const lets = opened[t].firstChild.checked;
      const delta = +(lets ? open : shut).value;
      const kept = Math.exp(-delta);
      h = kept * h + (1 - kept) * td.dataset.x;
      if (lets) last = `the last value let in is ${td.textContent}`;
      steps[t].textContent = fixed(delta);
      bar(shares[t], kept);
      bar(states[t], h);
    });
    for (const slider of [open, shut]) slider.setAttribute("aria-valuetext", fixed(+slider.value));
    fieldset.querySelector("output").textContent =
      `Δ = ${fixed(+open.value)} where open, ${fixed(+shut.value)} elsewhere: ${last}, the state ends at ${fixed(h)}`;
  };
  fieldset.addEventListener("input", draw);
  fieldset.disabled = false;
}
