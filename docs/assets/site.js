// A table too wide for the screen scrolls sideways: by the keyboard too, once it has the focus.
const widths = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(".md-typeset__scrollwrap").forEach((wrap) => widths.observe(wrap));

// The theme puts a <nav> without a name of its own on every block of code. To a screen
// reader each is a landmark of the page, the same one again and again: not so with this role.
const regroup = () => {
  document.querySelectorAll(".md-code__nav:not([role])").forEach((bar) => {
    bar.setAttribute("role", "none");
  });
};
new MutationObserver(regroup).observe(document.body, { childList: true, subtree: true });
regroup();

// Buttons of the snippets that run in the page: those in the card, and one on each block of
// their code. Nothing is fetched before the first click.
const site = new URL("..", document.currentScript.src);
const cards = [...document.querySelectorAll("button[data-run]")];
const file = (name) => new URL(`snippets/${name}.py`, site);
const arm = (button, place, use) => {
  const said = document.createElement("output");
  button.onclick = async () => {
    said.textContent = "";
    try {
      await use(await import(new URL("assets/run/panel.js", site)));
    } catch (error) {
      if (!said.isConnected) place.after(said);
      said.textContent = `This cannot run here: ${error.message}`;
    }
  };
  button.hidden = false;
};
if (location.protocol === "file:") {
  cards[0]?.closest("p, ul").insertAdjacentHTML(
    "afterend",
    "<p>This copy lies on a local disk, where a browser starts no worker: code runs in the page only when a server sends it.</p>",
  );
} else {
  for (const card of cards) {
    const name = card.dataset.run;
    arm(card, card.closest(".card"), (panel) => panel.open(name, file(name), card.closest(".card"), card));
    for (const title of document.querySelectorAll(".highlight > .filename")) {
      if (title.textContent !== `snippets/${name}.py`) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Edit and run";
      button.ariaLabel = `Edit and run ${name}.py`;
      const block = title.parentElement;
      arm(button, block, (panel) => panel.open(name, file(name), block, button));
      title.append(button);
    }
  }

  // Exercises that check themselves.
  for (const exercise of document.querySelectorAll(".exercise")) {
    const start = exercise.querySelector(".start.highlight code");
    const check = exercise.querySelector(".check .highlight code");
    const imports = exercise.dataset.imports.split(" ").filter(Boolean).map(file);
    const place = document.createElement("p");
    const button = document.createElement("button");
    const said = document.createElement("output");
    button.type = "button";
    button.className = "md-button";
    button.textContent = "Solve it in this page";
    place.append(button, " ", said);
    const solved = () => {
      said.textContent = "Solved.";
      exercise.dispatchEvent(new CustomEvent("solved", { bubbles: true }));
    };
    arm(button, place, (panel) =>
      panel.solve(
        exercise.id,
        { start: start.textContent, check: check.textContent, imports, solved },
        place,
        button,
      ),
    );
    start.closest(".highlight").after(place);
  }
}
