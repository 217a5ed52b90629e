// The filters of the list of tasks: fields, and chips that take them away. All of it is the address.
import { html, useEffect, useRef } from "../lib.js";
import { words } from "../format.js";
import { chips, label, NAMES, STATUSES } from "../filters.js";
import { several } from "../query.js";
import { place, refine } from "../router.js";
import { isAuditor } from "../session.js";

const TIME = "2h, 1d, a date";
const MORE = [
  ["tag", "Tag", "key or key=value"], ["project", "Project", "any"], ["batch", "Batch", "any"],
  ["created_after", "Created after", TIME], ["created_before", "Created before", TIME],
  ["ended_after", "Ended after", TIME], ["ended_before", "Ended before", TIME],
  ["longer_s", "Took longer than", "30s, 5m, 1h"], ["shorter_s", "Took less than", "30s, 5m, 1h"],
];
const LISTED = "tag";

function Field({ name, title, hint, searched = false }) {
  const { query } = place.value;
  const listed = name === LISTED;
  const change = ({ target }) => {
    const value = target.value.trim();
    if (!listed) return refine({ [name]: value });
    if (value) refine({ [name]: [...new Set([...several(query[name]), value])] });
    target.value = "";
  };
  return html`<label>${title} <input name=${name} value=${listed ? "" : query[name] ?? ""}
    placeholder=${hint} spellcheck="false" autocomplete="off" data-search=${searched ? "" : undefined}
    onChange=${change} /></label>`;
}

function Statuses({ counts }) {
  const chosen = several(place.value.query.status);
  const change = (status, on) => refine({
    status: STATUSES.filter((one) => (one === status ? on : chosen.includes(one))),
  });
  const box = useRef(null);
  useEffect(() => {
    const shut = (event) => {
      // The same event may just have taken this page away.
      if (!box.current) return;
      const away = event.type === "click" ? !box.current.contains(event.target) : event.key === "Escape";
      if (away) box.current.open = false;
    };
    document.addEventListener("click", shut);
    document.addEventListener("keydown", shut);
    return () => {
      document.removeEventListener("click", shut);
      document.removeEventListener("keydown", shut);
    };
  }, []);
  return html`<details class="drop-down" ref=${box}><summary>Status${chosen.length ? ` (${chosen.length})` : ""}</summary>
    <fieldset><legend class="unseen">Status</legend>${STATUSES.map((status) => html`<label>
      <input type="checkbox" name="status" value=${status} checked=${chosen.includes(status)}
        onChange=${(event) => change(status, event.target.checked)} />
      ${words(status)}<span class="num">${counts?.by_status[status] ?? ""}</span></label>`)}
    </fieldset></details>`;
}

export function Filters({ counts, children }) {
  const { query } = place.value;
  const more = [...MORE, ...(isAuditor.value ? [["user", "User", "yours"]] : [])];
  const open = more.filter(([name]) => query[name]).length;
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${Field} name="text" title="Search" hint="in type and id" searched />
      <${Statuses} counts=${counts} />
      <${Field} name="type" title="Type" hint="any" />
      <${Field} name="host" title="Host" hint="any" />
      ${children}
      <details class="further"><summary>More filters${open ? ` (${open})` : ""}</summary>
        <div class="fields">${more.map(([name, title, hint]) => html`<${Field} key=${name}
          name=${name} title=${title} hint=${hint} />`)}</div></details>
    </form><${Chips} query=${query} />`;
}

function Chips({ query }) {
  const found = chips(query);
  if (!found.length) return null;
  const none = Object.fromEntries(NAMES.map((name) => [name, undefined]));
  return html`<ul class="chips" aria-label="Filters in force">${found.map(({ name, value, without }) => html`
    <li key=${`${name} ${value}`}><button onClick=${() => refine(without)}
      aria-label=${`Take away ${label(name)} ${value}`}><span>${label(name)}</span>
      ${name === "status" ? words(value) : value} <i aria-hidden="true">×</i></button></li>`)}
    ${found.length > 1 && html`<li><button class="quiet" onClick=${() => refine(none)}>Clear all</button></li>`}
  </ul>`;
}
