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

// 2. The search script waits too. The theme starts it as a worker: this stands in for one.
//    From a local disk no browser starts a worker. There the script runs in the page, and
//    messages of an odd type (1 ready, 3 result) come from it, those of an even type
//    (0 set up, 2 query) go to it.
const NativeWorker = window.Worker;
window.Worker = class extends EventTarget {
  constructor(url, options) {
    super();
    if (options) return new NativeWorker(url, options); // not the search
    this.ready = wanted.then(() => {
      const hear = ({ data }) => this.dispatchEvent(new MessageEvent("message", { data }));
      if (location.protocol !== "file:") {
        const worker = new NativeWorker(url);
        worker.onmessage = hear;
        return (message) => worker.postMessage(message);
      }
      addEventListener("message", (event) => {
        if (event.data?.type % 2 !== 1) return;
        event.stopImmediatePropagation();
        hear(event);
      });
      const script = document.createElement("script");
      script.src = url;
      document.head.append(script);
      return new Promise((resolve) => {
        script.onload = () => resolve((message) => window.postMessage(message, "*"));
      });
    });
  }
  postMessage(message) {
    this.ready.then((post) => post(message));
  }
};
