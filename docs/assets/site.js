// The theme puts a <nav> without a name of its own on every block of code. To a screen
// reader each is a landmark of the page, the same one again and again: not so with this role.
const regroup = () =>
  document.querySelectorAll(".md-code__nav:not([role])").forEach((bar) => {
    bar.setAttribute("role", "none");
  });
new MutationObserver(regroup).observe(document.body, { childList: true, subtree: true });
regroup();
