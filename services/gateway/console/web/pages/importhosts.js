// Import: the servers of another MCP client's file become hosts.
import { html, useSignal } from "../lib.js";
import { api } from "../api.js";
import { short, size } from "../format.js";
import { own } from "../own.js";
import { href } from "../router.js";
import { Failed } from "../parts/told.js";

const MOST_BYTES = 256 * 1024;

export function ImportPage() {
  const text = useSignal(""), name = useSignal("mcp.json"), error = useSignal(/** @type {any} */ (null));
  const found = useSignal(/** @type {any[] | null} */ (null)), done = useSignal(false), busy = useSignal(false);
  const ids = useSignal(/** @type {Record<string, string>} */ ({})), out = useSignal(/** @type {string[]} */ ([]));
  const anew = () => {
    found.value = null;
    done.value = false;
  };
  const take = async (/** @type {File | undefined} */ file) => {
    if (!file) return;
    if (file.size > MOST_BYTES) {
      error.value = new Error(`${file.name} has ${size(file.size)}. Files above ${size(MOST_BYTES)}: metamcp hosts import FILE`);
      return;
    }
    text.value = await file.text();
    name.value = file.name;
    anew();
  };
  const ask = async (/** @type {boolean} */ dry) => {
    error.value = null;
    busy.value = true;
    try {
      const only = dry ? undefined : (found.value ?? []).filter((one) => one.good && !out.value.includes(one.server)).map((one) => one.server);
      const body = { text: text.value, name: name.value || "mcp.json", ids: ids.value, dry_run: dry, only };
      const { data } = await api(`/api/mcps/import`, { method: "POST", body });
      found.value = data;
      done.value = !dry;
      // Values of secrets may stand in it: once it has been taken, it need not lie here.
      if (!dry) text.value = "";
    } catch (problem) {
      error.value = problem;
    } finally {
      busy.value = false;
    }
  };
  const rows = found.value ?? [], ready = rows.filter((one) => one.good && !out.value.includes(one.server));
  return html`<h1>Import a client's file</h1>
    <p>Claude, VS Code, Cursor, Codex, Gemini CLI, Zed and others name their MCP servers in a file. Paste it, or drop it here.
      Secrets are replaced by references; their values are not stored.</p>
    <form class="importing" onSubmit=${(e) => { e.preventDefault(); ask(true); }}
      onDragOver=${(e) => e.preventDefault()} onDrop=${(e) => { e.preventDefault(); take(e.dataTransfer.files[0]); }}>
      <label class="field"><span>File</span><textarea name="text" rows="10" spellcheck="false" value=${text.value}
        placeholder=${'{"mcpServers": {"wiki": {"url": "https://wiki.example.com/mcp"}}}'}
        onInput=${(e) => { text.value = e.target.value; anew(); }}></textarea></label>
      <p class="filters file"><label>Or choose a file <input type="file" accept=".json,.jsonc,.toml" onChange=${(e) => take(e.target.files[0])} /></label>
        <label>File name (its ending says how it is read) <input value=${name.value} spellcheck="false" onInput=${(e) => { name.value = e.target.value; anew(); }} /></label>
        <button class=${found.value ? "" : "yes"} disabled=${busy.value || !text.value.trim()}>Preview</button></p>
    </form>
    <${Failed} error=${error.value} />
    ${rows.length > 0 && html`<div class="wide"><table><thead><tr><th scope="col">Take</th><th scope="col">Server</th><th scope="col">Host</th>
        <th scope="col">Where</th><th scope="col">Outcome</th><th scope="col">To do</th></tr></thead>
      <tbody>${rows.map((one) => html`<${Server} key=${one.server} one=${one} done=${done.value} ids=${ids} out=${out} />`)}</tbody></table></div>
      ${!done.value && html`<p class="buttons"><button class="yes" disabled=${busy.value || !ready.length} onClick=${() => ask(false)}>
        Register ${ready.length} ${ready.length === 1 ? "host" : "hosts"}</button>
        <small>A changed id is checked when it is registered.</small></p>`}
      ${done.value && html`<p><a href=${href("/hosts")}>See all hosts</a></p>`}`}`;
}

function Server({ one, done, ids, out }) {
  const taken = one.good && !out.value.includes(one.server);
  const at = one.entry.endpoint ?? {};
  const where = at.url ?? [at.command, ...(at.args ?? [])].filter(Boolean).join(" ");
  const toggle = () => {
    out.value = taken ? [...out.value, one.server] : out.value.filter((name) => name !== one.server);
  };
  return html`<tr><td><input type="checkbox" aria-label=${`Take ${one.server}`} checked=${taken} disabled=${!one.good || done} onChange=${toggle} /></td>
    <th scope="row">${short(one.server, 80)}</th>
    <td>${done ? (one.good ? html`<code>${one.host}</code>` : one.host) : html`<input class="id" aria-label=${`Id of ${one.server}`}
      value=${own(ids.value, one.server) ?? one.host} spellcheck="false"
      onChange=${(e) => { ids.value = { ...ids.value, [one.server]: e.target.value.trim() }; }} />`}</td>
    <td><code>${short(where, 160)}</code></td>
    <td class=${one.good ? "" : "bad"}>${short(one.outcome, 600)}${one.notes.map((note) => html`<br /><small>${short(note, 300)}</small>`)}</td>
    <td>${short(one.to_do, 600)}</td></tr>`;
}
