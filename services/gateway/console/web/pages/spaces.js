// Spaces: those of the linked account at Hugging Face, their stage, and which host each is.
import { html, useEffect, useSignal } from "../lib.js";
import { api } from "../api.js";
import { short } from "../format.js";
import { href } from "../router.js";
import { Empty, Failed } from "../parts/told.js";

const GOOD = new Set(["RUNNING"]), REST = new Set(["SLEEPING", "PAUSED", "STOPPED"]);

export function SpacesPage() {
  const spaces = useSignal(/** @type {any[] | null} */ (null)), error = useSignal(/** @type {any} */ (null));
  const seen = useSignal(/** @type {any[] | null} */ (null)), busy = useSignal("");
  const unlinked = useSignal(false);
  const run = async (/** @type {string} */ words, /** @type {() => Promise<void>} */ deed) => {
    error.value = null;
    busy.value = words;
    try {
      await deed();
    } catch (problem) {
      error.value = problem;
    } finally {
      busy.value = "";
    }
  };
  const list = async () => {
    try {
      spaces.value = (await api("/api/spaces")).data;
      unlinked.value = false;
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      spaces.value = null;
      unlinked.value = true;
    }
  };
  const read = () => run("They are looked up …", list);
  useEffect(() => void read(), []);
  const discover = () => run("Hosts are looked for …", async () => {
    seen.value = (await api("/api/mcps/discover", { method: "POST" })).data.spaces;
    await list();
  });
  const deed = (/** @type {any} */ space, /** @type {string} */ verb) => run(`${space.repo}: ${verb} …`, async () => {
    const { data } = await api(`/api/spaces/${space.repo}/${verb}`, { method: "POST", body: verb === "restart" ? {} : undefined });
    spaces.value = (spaces.value ?? []).map((one) => (one.repo === data.repo ? data : one));
  });
  const deploy = (/** @type {any} */ space) => {
    const words = `Put the kit into ${space.repo}? It takes the place of the program that is there.`;
    if (space.outdated || space.stage === "NO_APP_FILE" || confirm(words)) deed(space, "deploy");
  };
  return html`<div class="title"><h1>Spaces on Hugging Face</h1>
      <div class="deeds"><a class="button quiet" href=${href("/hosts")}>Back to hosts</a>
        <button disabled=${Boolean(busy.value)} onClick=${read}>Look again</button>
        <button disabled=${Boolean(busy.value) || unlinked.value} onClick=${discover}>Make hosts of those that are MCP servers</button></div></div>
    <output aria-live="polite">${busy.value}</output>
    <${Failed} error=${error.value} />
    ${unlinked.value && html`<${Empty}><p>No account at Hugging Face is linked. Link yours under${" "}
      <a href=${href("/account/connected")}>Account, Connected accounts</a>, or by <code>metamcp link huggingface</code>.</p><//>`}
    ${spaces.value?.length === 0 && html`<${Empty}><p>The account has no Spaces. <code>metamcp spaces deploy OWNER/NAME --create</code> makes
      one that does heavy work for you.</p><//>`}
    ${seen.value && html`<p>${seen.value.length} looked at${seen.value.filter((one) => one.problem).map((one) => html`<br />
      <b>${one.space}</b>: ${short(one.problem, 400)}`)}</p>`}
    ${spaces.value && spaces.value.length > 0 && html`<div class="wide"><table><thead><tr><th scope="col">Space</th><th scope="col">Stage</th>
        <th scope="col">Hardware</th><th scope="col">Host</th><th scope="col">Do</th></tr></thead>
      <tbody>${spaces.value.map((one) => html`<tr key=${one.repo}>
        <th scope="row"><a href=${one.page} target="_blank" rel="noreferrer noopener">${one.repo}</a>${one.private && html` <small>private</small>`}</th>
        <td><span class=${`status ${GOOD.has(one.stage) ? "healthy" : REST.has(one.stage) ? "unknown" : "warning"}`}>${one.stage || "not begun"}</span>
          ${one.error && html`<br /><small class="bad">${short(one.error, 300)}</small>`}</td>
        <td>${one.hardware}</td>
        <td>${one.host ? html`<a href=${href(`/hosts/${one.host}`)}>${one.host}</a>` : "none"}${one.outdated && html` <b class="bad">its kit is outdated</b>`}</td>
        <td><button disabled=${Boolean(busy.value)} aria-label=${`Restart ${one.repo}`} onClick=${() => deed(one, "restart")}>Restart</button>
          ${one.sdk === "docker" && html`<button disabled=${Boolean(busy.value)} aria-label=${`Deploy the kit to ${one.repo}`}
            onClick=${() => deploy(one)}>Deploy the kit</button>`}</td></tr>`)}</tbody></table></div>`}`;
}
