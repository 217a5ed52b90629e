// Which pages there are, where, and for whom.
import { html } from "./lib.js";
import { href } from "./router.js";
import { me } from "./session.js";
import { AccountPage } from "./pages/account.js";
import { AddHostPage } from "./pages/addhost.js";
import { AdminPage } from "./pages/admin.js";
import { AsksPage } from "./pages/asks.js";
import { ConnectPage } from "./pages/connect.js";
import { HostPage } from "./pages/host.js";
import { HostsPage } from "./pages/hosts.js";
import { ImportPage } from "./pages/importhosts.js";
import { LivePage } from "./pages/live.js";
import { OverviewPage } from "./pages/overview.js";
import { SpacesPage } from "./pages/spaces.js";
import { QueuePage } from "./pages/queue.js";
import { SubmitPage } from "./pages/submit.js";
import { TaskPage } from "./pages/task.js";
import { TasksPage } from "./pages/tasks.js";

/**
 * @typedef {object} ConsolePage
 * @property {string} path
 * @property {string} title
 * @property {string} key goes there after `g`
 * @property {any} Page
 * @property {(who: any) => boolean} [may] who sees it; default: everybody
 * @property {string} [group] where it stands in the menu, one of GROUPS; default: the second
 */

/** The parts of the menu. */
export const GROUPS = ["Work", "System", "You"];


/** @type {ConsolePage[]} */
const PAGES = [
  { path: "/", title: "Overview", Page: OverviewPage, key: "o", group: "Work" },
  { path: "/tasks", title: "Tasks", Page: TasksPage, key: "t", group: "Work" },
  { path: "/submit", title: "Submit", Page: SubmitPage, key: "s", group: "Work" },
  { path: "/asks", title: "Asks", Page: AsksPage, key: "a", group: "Work" },
  { path: "/live", title: "Live", Page: LivePage, key: "l", group: "Work" },
  { path: "/hosts", title: "Hosts", Page: HostsPage, key: "h" },
  { path: "/connect", title: "Connect", Page: ConnectPage, key: "n" },
  { path: "/queue", title: "Queue", Page: QueuePage, key: "q" },
  {
    path: "/admin", title: "Admin", Page: AdminPage, key: "d",
    may: ({ roles }) => roles.includes("admin") || roles.includes("auditor"),
  },
  { path: "/account", title: "Account", Page: AccountPage, key: "c", group: "You" },
];

/** @type {[RegExp, any][]} */
const BELOW = [
  [/^\/tasks\/([^/]+)$/, TaskPage],
  [/^\/hosts\/add$/, AddHostPage],
  [/^\/hosts\/import$/, ImportPage],
  [/^\/hosts\/discover$/, SpacesPage],
  [/^\/hosts\/(.+)$/, HostPage],
  [/^\/account\/(.+)$/, AccountPage],
  [/^\/admin\/(.+)$/, AdminPage],
];

/** The pages that whoever is signed in may see. */
export function shown() {
  return PAGES.filter(({ may }) => !may || (me.value && may(me.value)));
}

/**
 * The page of a path, what the path says to it, and its title.
 * @param {string} path @returns {[any, string[], string]}
 */
export function pageOf(path) {
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
    <p><a href=${href("/")}>Begin at the first</a></p>`;
}
