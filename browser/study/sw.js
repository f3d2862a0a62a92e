// Once visited, the site opens without a network. The network comes first: what is kept
// answers only where it does not. Caches of this site alone are touched, by their names.

const EDITION = "__EDITION__"; // another with every change of the site
const CORE = __CORE__; // what the pages and the search need
const ALL = __ALL__; // every page, for readers who want to take them all along
const PREFIX = "rederived-";
const CACHE = PREFIX + EDITION;
const DOWNLOAD = /\.(zip|epub|apkg)$/; // has everything, and is on the reader's disk

const older = async () => (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);

async function keep(cache, addresses) {
  let kept = 0;
  for (const address of addresses) {
    try {
      const answer = await fetch(address, { cache: "no-cache" });
      if (!answer.ok) continue;
      await cache.put(address, answer);
      kept += 1;
    } catch {
      // without a network, or gone: the rest may still come
    }
  }
  return kept;
}

async function install() {
  const cache = await caches.open(CACHE);
  // from the network: what the browser remembers may be of the last edition
  await cache.addAll(CORE.map((address) => new Request(address, { cache: "no-cache" })));
  for (const name of await older()) {
    // the pages kept from the last edition, in this one
    const requests = await (await caches.open(name)).keys();
    await keep(cache, requests.map((request) => request.url).filter((url) => !url.includes("/assets/")));
  }
  await self.skipWaiting();
}

async function activate() {
  for (const name of await older()) await caches.delete(name);
  await self.clients.claim();
}

async function answer(event) {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const url = new URL(request.url);
  url.search = ""; // words to mark, for instance: the page is the same
  if (url.pathname.endsWith("/")) url.pathname += "index.html";
  try {
    const fresh = await fetch(request);
    if (fresh.status === 200 && !DOWNLOAD.test(url.pathname)) {
      event.waitUntil(cache.put(url, fresh.clone()).catch(() => {})); // no room: not kept
    }
    return fresh;
  } catch (error) {
    const kept = await cache.match(url);
    if (kept) return kept;
    if (request.mode !== "navigate") throw error;
    return cache.match("404.html");
  }
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const ours = request.url.startsWith(self.registration.scope);
  if (request.method === "GET" && ours) event.respondWith(answer(event));
});
self.addEventListener("message", (event) => {
  if (event.data !== "keep all") return;
  const all = async () => event.ports[0].postMessage([await keep(await caches.open(CACHE), ALL), ALL.length]);
  event.waitUntil(all());
});
