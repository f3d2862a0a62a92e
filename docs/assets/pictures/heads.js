// Three heads on one sentence: `look` of snippets/illustrated_transformer.py. The table
// shows the six steps for one word; the map, made here, the weights of all words.
{
  const fieldset = document.currentScript.parentElement.querySelector("fieldset");
  const { head, last, word: chosen, divisor } = fieldset.form;
  const table = fieldset.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const words = rows.map((row) => row.cells[0].textContent);
  const dot = (a, b) => a.reduce((total, x, i) => total + x * b[i], 0);
  const fixed = (x, digits) =>
    x.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");

  // 10 times the paper's encoding of a position, at width 4
  const place = (t) => [1, 0.01].flatMap((w) => [10 * Math.sin(w * t), 10 * Math.cos(w * t)]);
  const heads = {
    "the word before": { q: (x) => place(x.t - 1), k: (x) => place(x.t) },
    "what is said": { q: (x) => [4 * x.pronoun], k: (x) => [3 * x.property] },
    "who is meant": {
      q: (x) => [4 * x.pronoun, 4 * x.tired, 4 * x.wide],
      k: (x) => [2 * x.noun, 2 * x.tired, 2 * x.wide],
    },
  };
  const sentence = () =>
    words.map((_, t) => ({
      t,
      noun: +(t === 1 || t === 5),
      pronoun: +(t === 7),
      property: +(t === 10),
      tired: +(t === 1 || (t === 10 && last.value === "tired")),
      wide: +(t === 5 || (t === 10 && last.value === "wide")),
    }));
  const attend = (x, { q, k }, root) => {
    const v = x.map((word) => [word.noun, word.tired, word.wide]);
    const keys = x.map(k);
    return x.map((word) => {
      const scores = keys.map((key) => dot(q(word), key));
      const scaled = scores.map((s) => s / root);
      const e = scaled.map((s) => Math.exp(s - Math.max(...scaled)));
      const weights = e.map((y) => y / e.reduce((a, b) => a + b));
      const z = [0, 1, 2].map((n) => dot(weights, v.map((value) => value[n])));
      return { scores, scaled, weights, v, z };
    });
  };
  const look = (name, root) => {
    const x = sentence();
    if (name === "who is meant") {
      look("what is said", root).forEach(({ z }, t) => {
        x[t].tired += z[1];
        x[t].wide += z[2];
      });
    }
    return attend(x, heads[name], root);
  };

  const map = document.createElement("table");
  map.className = "volume map shares";
  map.createCaption().textContent = "all words: each row looks at the columns, weights in %";
  const header = (row, scope, text) => {
    const cell = row.appendChild(document.createElement("th"));
    cell.scope = scope;
    cell.textContent = text;
  };
  const top = map.createTHead().insertRow();
  header(top, "row", "word");
  words.forEach((_, t) => header(top, "col", t + 1));
  const body = map.createTBody();
  words.forEach((word, t) => {
    header(body.insertRow(), "row", `${t + 1} ${word}`);
    words.forEach(() => body.rows[t].insertCell());
  });
  table.after(map);

  const draw = () => {
    words[10] = last.value;
    rows[10].cells[0].textContent = last.value;
    body.rows[10].cells[0].textContent = `11 ${last.value}`;
    const root = 2 ** divisor.value;
    const at = chosen.value - 1;
    const all = look(head.value, root);
    const { scores, scaled, weights, v, z } = all[at];
    table.tHead.querySelector("span").textContent = root;
    rows.forEach((row, j) => {
      row.cells[1].textContent = fixed(scores[j], 2);
      row.cells[2].textContent = fixed(scaled[j], 2);
      row.cells[3].style.setProperty("--p", weights[j]);
      row.cells[3].textContent = fixed(weights[j], 3);
      v[j].forEach((x, n) => {
        row.cells[4 + n].textContent = fixed(x, 2);
      });
    });
    z.forEach((x, n) => {
      table.tFoot.rows[0].cells[1 + n].textContent = fixed(x, 2);
    });
    all.forEach((row, t) => {
      body.rows[t].classList.toggle("chosen", t === at);
      row.weights.forEach((p, j) => {
        const cell = body.rows[t].cells[1 + j];
        cell.style.setProperty("--a", p);
        cell.textContent = fixed(100 * p, 0);
      });
    });
    chosen.setAttribute("aria-valuetext", words[at]);
    divisor.setAttribute("aria-valuetext", root);
    const most = weights.findIndex((p) => p > Math.max(...weights) - 1e-9);
    const where = Math.max(...weights) - Math.min(...weights) < 1e-9
      ? "evenly at all words"
      : `most at “${words[most]}”, ${fixed(weights[most], 3)}`;
    const [noun, tired, wide] = z.map((x) => fixed(x, 2));
    fieldset.querySelector("output").textContent =
      `${head.value}, “${words[at]}”: ${where}; receives noun ${noun}, tired ${tired}, wide ${wide}`;
  };
  fieldset.addEventListener("input", draw);
  map.addEventListener("click", ({ target }) => {
    const row = target.closest("tbody tr");
    if (row) {
      chosen.value = row.sectionRowIndex + 1;
      draw();
    }
  });
  fieldset.disabled = false;
  draw();
}
