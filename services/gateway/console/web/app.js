// The console: who is there, where they are, and the page of that.
import { effect, html, render, signal, useEffect } from "./lib.js";
import { api } from "./api.js";
import { connection } from "./stream.js";
import { follow, href, place } from "./router.js";
import { Help, keys } from "./parts/keys.js";
import { Failed } from "./parts/told.js";
import { GROUPS, pageOf, shown } from "./pages.js";
import { arrive, followLinks, me } from "./session.js";

const problem = signal(null);

const open = signal(false);

/** A page's link is of where one is, or of something below it. */
function current(path) {
  const at = place.value.path;
  if (at === path) return "page";
  return path !== "/" && at.startsWith(`${path}/`) ? "true" : undefined;
}

function Pages() {
  const pages = shown();
  return html`<nav id="pages" aria-label="Pages">
    ${GROUPS.map((group) => html`<ul aria-label=${group}>
      ${pages.filter((one) => (one.group ?? GROUPS[1]) === group).map(({ path, title }) => html`<li>
        <a href=${href(path)} aria-current=${current(path)}>${title}</a></li>`)}
      ${group === GROUPS[2] && html`<li><a href="/api/docs">API</a></li>`}
    </ul>`)}
  </nav>`;
}

function Header() {
  const shut = () => {
    open.value = false;
  };
  // The menu of narrow windows closes when one has gone somewhere.
  useEffect(shut, [place.value.path]);
  return html`<header class=${open.value ? "open" : ""}
    onKeyDown=${(event) => event.key === "Escape" && shut()}>
    <a class="skip" href="#main">Skip to the page</a>
    <a class="name" href=${href("/")}>MetaMCP</a>
    <button class="menu" aria-expanded=${open.value} aria-controls="pages" onClick=${() => {
      open.value = !open.value;
    }}>Menu</button>
    <${Pages} />
    <span class="there"><span class=${connection.value && `dot ${connection.value}`} role="status">${connection.value}</span>
    <span class="who">${me.value?.user}</span></span>
  </header>`;
}

function App() {
  const [Page, found, title] = pageOf(place.value.path);
  useEffect(() => {
    document.title = `${title} · MetaMCP`;
  }, [title]);
  return html`<${Header} />
    <main id="main" tabindex="-1">
      ${problem.value && html`<${Failed} error=${problem.value} />
        ${!me.value && html`<p><a href="/signin?next=/console">Sign in</a></p>`}`}
      ${me.value && html`<${Page} key=${place.value.path} found=${found} />`}
    </main>
    <${Help} pages=${shown()} />`;
}

async function start() {
  followLinks();
  follow();
  keys(shown);
  render(html`<${App} />`, document.getElementById("app"));
  try {
    await arrive();
    me.value = (await api("/api/me")).data;
  } catch (error) {
    problem.value = error;
  }
}

effect(() => document.documentElement.classList.toggle("cut", connection.value === "cut"));
start();
