// The console: who is there, where they are, and the page of that.
import { effect, html, render, signal, useEffect } from "./lib.js";
import { api } from "./api.js";
import { connection } from "./stream.js";
import { follow, href, place } from "./router.js";
import { Help, keys } from "./parts/keys.js";
import { Failed } from "./parts/told.js";
import { AccountPage } from "./pages/account.js";
import { AsksPage } from "./pages/asks.js";
import { HostPage, HostsPage } from "./pages/hosts.js";
import { LivePage } from "./pages/live.js";
import { SubmitPage } from "./pages/submit.js";
import { TaskPage } from "./pages/task.js";
import { TasksPage } from "./pages/tasks.js";
import { me } from "./session.js";

const PAGES = [
  { path: "/", title: "Tasks", Page: TasksPage, key: "t" },
  { path: "/submit", title: "Submit", Page: SubmitPage, key: "s" },
  { path: "/live", title: "Live", Page: LivePage, key: "l" },
  { path: "/hosts", title: "Hosts", Page: HostsPage, key: "h" },
  { path: "/asks", title: "Asks", Page: AsksPage, key: "a" },
  { path: "/account", title: "Account", Page: AccountPage, key: "c" },
];
const BELOW = [
  [/^\/tasks\/([^/]+)$/, TaskPage],
  [/^\/hosts\/(.+)$/, HostPage],
];
const problem = signal(null);

/** @param {string} path */
function pageOf(path) {
  const page = PAGES.find((one) => one.path === path);
  if (page) return [page.Page, [], page.title];
  for (const [form, Page] of BELOW) {
    const found = form.exec(path);
    if (found) return [Page, found.slice(1), found[1]];
  }
  return [Nowhere, [], "Not here"];
}

function Nowhere() {
  return html`<h1>There is no such page</h1>
    <p><a href=${href("/")}>See the tasks</a></p>`;
}

function Header() {
  const at = place.value.path;
  return html`<header>
    <a class="skip" href="#main">Skip to the page</a>
    <a class="name" href=${href("/")}>MetaMCP</a>
    <nav aria-label="Pages">
      ${PAGES.map(({ path, title }) => html`<a
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
    <${Help} pages=${PAGES} />`;
}

async function start() {
  follow();
  keys(PAGES);
  render(html`<${App} />`, document.getElementById("app"));
  try {
    me.value = (await api("/api/me")).data;
  } catch (error) {
    problem.value = error;
  }
}

effect(() => document.documentElement.classList.toggle("cut", connection.value === "cut"));
start();
