// One filter on three channels of 5 by 5 pixels, computed as `demo` and `conv2d` of
// snippets/conv2d.py. Each channel has a table of pixels, 9 by 9 with room for the
// padding, and a table of products; the last table is the output.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { stride, padding, dilation, filter, output: chosen } = fieldset.form;
  const tables = [...fieldset.querySelectorAll("tbody")];
  const map = tables.pop();
  const pixels = tables.filter((_, n) => n % 2 === 0);
  const products = tables.filter((_, n) => n % 2);
  const taps = [...Array(9).keys()];
  const inside = (i) => i >= 0 && i < 5;
  const x = pixels.map((table) =>
    [...table.rows].slice(2, 7).map((row) => [...row.cells].slice(2, 7).map((cell) => +cell.textContent)),
  );
  const weight = (c, t) =>
    +products[c].rows[Math.floor(t / 3)].cells[t % 3].dataset.w.split(" ")[filter.value - 1];
  const pixel = (c, i, j) => (inside(i) && inside(j) ? x[c][i][j] : 0);
  const minus = (number) => `${number}`.replace("-", "−");

  const draw = () => {
    const [S, P, d] = [+stride.value, +padding.value, +dilation.value];
    const extent = 2 * d + 1;
    const places = (5 - extent + 2 * P) / S + 1;
    const side = Math.floor(places);
    chosen.max = side * side;
    const place = chosen.value - 1;
    // the pixel under tap t of the window that gives output n
    const row = (n, t) => Math.floor(n / side) * S - P + Math.floor(t / 3) * d;
    const column = (n, t) => (n % side) * S - P + (t % 3) * d;
    const product = (c, n, t) => pixel(c, row(n, t), column(n, t)) * weight(c, t);
    const sum = (c, n) => taps.reduce((total, t) => total + product(c, n, t), 0);
    const bias = +(filter.value === "1");
    const result = (n) => minus(sum(0, n) + sum(1, n) + sum(2, n) + bias);

    pixels.forEach((table, c) => {
      [...table.rows].forEach((cells, i) =>
        [...cells.cells].forEach((cell, j) => {
          const [a, b] = [i - 2, j - 2];
          const seen = taps.some((t) => row(place, t) === a && column(place, t) === b);
          cell.classList.toggle("seen", seen);
          if (!inside(a) || !inside(b)) {
            cell.textContent = Math.min(a, b) >= -P && Math.max(a, b) < 5 + P ? 0 : "";
          }
        }),
      );
      for (const t of taps) {
        products[c].rows[Math.floor(t / 3)].cells[t % 3].textContent =
          `${pixel(c, row(place, t), column(place, t))}·${minus(weight(c, t))}`;
      }
      products[c].parentElement.tFoot.rows[0].cells[0].textContent = `sum ${minus(sum(c, place))}`;
    });
    map.textContent = "";
    for (let n = 0; n < side * side; n++) {
      const cells = n % side ? map.rows[map.rows.length - 1] : map.insertRow();
      const cell = cells.insertCell();
      cell.textContent = result(n);
      cell.classList.toggle("seen", n === place);
    }
    const rounded = places === side ? "" : `, rounded down to ${side}`;
    fieldset.querySelector("output").textContent =
      `(5 − ${extent} + 2·${P})/${S} + 1 = ${+places.toFixed(2)} places a side${rounded}; ` +
      `output ${place + 1} of ${side * side} is ${result(place)}, bias ${bias} included`;
  };
  fieldset.addEventListener("input", draw);
  map.addEventListener("click", ({ target }) => {
    if (target.matches("td")) {
      chosen.value = target.parentElement.rowIndex * map.rows.length + target.cellIndex + 1;
      draw();
    }
  });
  fieldset.disabled = false;
}
