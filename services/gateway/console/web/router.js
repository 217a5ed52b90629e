// Addresses: each page and every filter has one, so that it can be sent to somebody.
import { signal } from "./lib.js";
import { queryOf, search } from "./query.js";

export const ROOT = "/console";

/** The page's path below the root, and its query: what stands there more than once, joined. */
export const place = signal(read());

function read() {
  const path = decodeURIComponent(location.pathname.slice(ROOT.length)) || "/";
  return { path, query: queryOf(location.search) };
}

/** @param {string} path below the root @param {Record<string, any>} [query] */
export function href(path, query = {}) {
  const text = search(query);
  const parts = path.split("/").map(encodeURIComponent).join("/");
  return `${ROOT}${parts === "/" ? "" : parts}${text ? `?${text}` : ""}`;
}

/** Go there. `replace`: in the place of this one in the browser's history. */
export function go(path, query = {}, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href(path, query));
  place.value = read();
}

/** Change what the query says, and stay. */
export function refine(changes) {
  const { path, query } = place.value;
  go(path, { ...query, ...changes }, { replace: true });
}

/** Have links of the console change the place without loading anything. */
export function follow() {
  addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
    if (!link || !plain || event.defaultPrevented || link.target) return;
    if (link.origin !== location.origin || !isOurs(link.pathname)) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    place.value = read();
    scrollTo(0, 0);
  });
}

function isOurs(path) {
  return path === ROOT || (path.startsWith(`${ROOT}/`) && !path.startsWith(`${ROOT}/assets/`));
}
