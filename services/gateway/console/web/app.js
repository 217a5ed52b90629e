// The console: who is there, where they are, and the page of that.
import { effect, html, render, signal, useEffect } from "./lib.js";
import { api } from "./api.js";
import { connection } from "./stream.js";
import { follow, href, place } from "./router.js";
import { Help, keys } from "./parts/keys.js";
import { Failed } from "./parts/told.js";
import { pageOf, shown } from "./pages.js";
import { me } from "./session.js";

const problem = signal(null);

function Header() {
  const at = place.value.path;
  return html`<header>
    <a class="skip" href="#main">Skip to the page</a>
    <a class="name" href=${href("/")}>MetaMCP</a>
    <nav aria-label="Pages">
      ${shown().map(({ path, title }) => html`<a
        href=${href(path)} aria-current=${at === path ? "page" : undefined}>${title}</a>`)}
      <a href="/api/docs">API</a>
    </nav>
    <span class="grow"></span>
    <span class=${`dot ${connection.value}`} role="status">${connection.value || "idle"}</span>
    <span class="who">${me.value?.user}</span>
  </header>`;
}

function App() {
  const [Page, found, title] = pageOf(place.value.path);
  useEffect(() => {
    document.title = `${title} · MetaMCP`;
  }, [title]);
  return html`<${Header} />
    <main id="main" tabindex="-1">
      ${problem.value && html`<${Failed} error=${problem.value} />`}
      ${me.value && html`<${Page} key=${place.value.path} found=${found} />`}
    </main>
    <${Help} pages=${shown()} />`;
}

async function start() {
  follow();
  keys(shown);
  render(html`<${App} />`, document.getElementById("app"));
  try {
    me.value = (await api("/api/me")).data;
  } catch (error) {
    problem.value = error;
  }
}

effect(() => document.documentElement.classList.toggle("cut", connection.value === "cut"));
start();
