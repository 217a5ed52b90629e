// Settings that the processes of a service run with, and where each comes from.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { size } from "../../format.js";
import { refine } from "../../router.js";
import { Failed } from "../../parts/told.js";
import { Table, asked, useLoaded } from "./kit.js";

const SERVICES = ["gateway", "router", "registry", "executor", "results"];

export function SettingsPart() {
  const service = asked("service") || "gateway";
  const list = useLoaded(async () => (await api("/api/settings", { query: { service } })).data, [service]);
  const text = asked("text").toLowerCase(), changed = asked("changed") === "yes";
  const every = list.data ?? [];
  const shown = every.filter((one) => (!changed || one.source !== "default")
    && (!text || `${one.variable} ${one.name} ${one.description}`.toLowerCase().includes(text)));
  const processes = [...new Set(every.map((one) => one.instance))];
  return html`<p class="filters">
      <label>Service <select value=${service} onChange=${(event) => refine({ service: event.target.value })}>
        ${SERVICES.map((name) => html`<option>${name}</option>`)}</select></label>
      <label>Find <input type="search" data-search value=${asked("text")} onInput=${(event) => refine({ text: event.target.value })} /></label>
      <label><input type="checkbox" checked=${changed} onChange=${(event) => refine({ changed: event.target.checked ? "yes" : "" })} />
        Only what is not the default (in bold)</label></p>
    <${Failed} error=${list.error} />
    ${list.data && html`<${Table} label="Settings" heads=${[...(processes.length > 1 ? ["Process"] : []), "Setting", "Value", "Default", "Source", "Meaning"]}>
      ${shown.map((one) => html`<tr key=${one.instance + one.variable} class=${one.source === "default" ? "" : "changed"}>
        ${processes.length > 1 && html`<td class="id">${one.instance}</td>`}<th scope="row" class="id">${one.variable}</th><td class="id said">${told(one, one.value)}</td>
        <td class="id said">${told(one, one.default)}</td><td>${from(one)}</td><td class="wide meaning">${coded(one.description)}</td></tr>`)}</${Table}>
      <p class="more" aria-live="polite">${shown.length} of ${every.length} settings of ${processes.join(", ")}</p>`}
    <p><small>Of gateways it is the one that you have asked; of the others, every process that answers. Secrets are never
      shown; docs/settings.md lists all. A change holds from the next start.</small></p>`;
}

/** Where a value comes from; a variable's name stands in its row already. */
function from({ source, variable }) {
  if (source === "start") return "the command that started it";
  return source === variable ? "environment" : source.replace(`: ${variable}`, "");
}

/** Text with what stands in backticks as code. @param {string} text */
function coded(text) {
  return text.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
}

function told(setting, value) {
  if (setting.secret) return value ? "set; it is not shown" : "not set";
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) return value.length ? broken(value.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join(", ")) : "–";
  const inBytes = setting.variable.endsWith("_BYTES") || setting.description.startsWith("Bytes ");
  if (typeof value === "number" && inBytes) return html`<span title=${value}>${size(value)}</span>`;
  if (typeof value === "number" && setting.variable.endsWith("_S")) return `${value} s`;
  return broken(String(value));
}

/** A long path or address goes on in the next line behind a slash. @param {string} text */
function broken(text) {
  return text.split(/(?<=[/,])/).flatMap((part, at) => (at ? [html`<wbr />`, part] : [part]));
}
