// Two things about the theme's search, settled before it starts.
// (The theme's offline plugin looks for "iframe-worker" in a file's name; finding it, it
// leaves out a script from another host.)

// 1. The index of the whole site is far larger than a page, and the theme asks for it at
//    once. It can wait until the reader goes to the search field.
const wanted = new Promise((resolve) => {
  const asked = new URLSearchParams(location.search); // q: a query, h: words to mark
  if (asked.has("q") || asked.has("h")) resolve();
  addEventListener("focusin", (event) => event.target.name === "query" && resolve());
});
const { open, send } = XMLHttpRequest.prototype;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.isIndex = String(url).endsWith("search_index.json");
  return open.call(this, method, url, ...rest);
};
XMLHttpRequest.prototype.send = function (body) {
  if (this.isIndex) wanted.then(() => send.call(this, body));
  else send.call(this, body);
};

// 2. From a local disk no browser starts a worker. There the search script runs in the
//    page itself, and this stands in for the worker: messages of an odd type (1 ready,
//    3 result) come from the script, those of an even type (0 set up, 2 query) go to it.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      addEventListener("message", (event) => {
        if (event.data?.type % 2 !== 1) return;
        event.stopImmediatePropagation();
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      const script = document.createElement("script");
      script.src = url;
      this.ready = new Promise((resolve) => script.addEventListener("load", resolve));
      document.head.append(script);
    }
    postMessage(message) {
      this.ready.then(() => window.postMessage(message, "*"));
    }
  };
}
