// Table 3 with another vocabulary: `parameters` of snippets/transformer_budget.py.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const slider = fieldset.querySelector("input");
  const table = fieldset.querySelector("table");

  const draw = () => {
    const V = +slider.value;
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      const [, printed, ours] = row.cells;
      const millions = (+row.dataset.body + V * row.dataset.width) / 1e6;
      const holds = Math.round(millions) === +printed.textContent;
      const verdict = holds ? "holds" : "differs";
      ours.firstChild.textContent = millions.toFixed(2);
      ours.lastChild.textContent = verdict;
      ours.lastChild.className = `verdict verdict--${verdict}`;
      count += holds;
    }
    table.style.setProperty("--v", `${(V - 35000) / 90}%`);
    fieldset.querySelector("output").textContent =
      `vocabulary ${V.toLocaleString("en")}: ${count} of 11 rows hold`;
  };
  slider.addEventListener("input", draw);
  fieldset.disabled = false;
}
