// Settings that the gateway runs with, and where each comes from.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { refine } from "../../router.js";
import { Failed } from "../../parts/told.js";
import { Table, asked, useLoaded } from "./kit.js";

export function SettingsPart() {
  const list = useLoaded(async () => (await api("/api/settings")).data);
  const text = asked("text").toLowerCase(), changed = asked("changed") === "yes";
  const every = list.data ?? [];
  const shown = every.filter((one) => (!changed || one.source !== "default")
    && (!text || `${one.variable} ${one.name} ${one.description}`.toLowerCase().includes(text)));
  return html`<p class="filters">
      <label>Find <input type="search" data-search value=${asked("text")} onInput=${(event) => refine({ text: event.target.value })} /></label>
      <label><input type="checkbox" checked=${changed} onChange=${(event) => refine({ changed: event.target.checked ? "yes" : "" })} />
        Only what is not the default</label></p>
    <${Failed} error=${list.error} />
    ${list.data && html`<${Table} label="Settings" heads=${["Setting", "Value", "Default", "Source", "Meaning"]}>
      ${shown.map((one) => html`<tr key=${one.variable} class=${one.source === "default" ? "" : "changed"}>
        <th scope="row" class="id">${one.variable}</th><td class="id wide">${told(one, one.value)}</td>
        <td class="id">${told(one, one.default)}</td><td>${one.source === "start" ? "the command that started it" : one.source}</td>
        <td class="wide">${one.description}</td></tr>`)}</${Table}>
      <p class="more" aria-live="polite">${shown.length} of ${every.length} settings</p>`}
    <p><small>These are what the gateway that you have asked runs with: its own, and those that all services have. Router,
      executors, registry and results have settings of their own, which only they know; docs/settings.md lists all.
      A change holds from the next start.</small></p>`;
}

function told(setting, value) {
  if (setting.secret) return value ? "set; it is not shown" : "not set";
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) return value.length ? value.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join(", ") : "–";
  return String(value);
}
