// Access: who came in, who was kept out, and what was changed of it.
import { html } from "../../lib.js";
import { exact, time } from "../../format.js";
import { refine } from "../../router.js";
import { More, Table, asked, usePaged } from "./kit.js";

const KINDS = [
  "sign_in", "sign_out", "refresh", "denied", "throttled", "user.created", "user.changed", "user.disabled",
  "user.deleted", "password.changed", "identity.linked", "identity.unlinked", "token.issued", "token.revoked",
  "session.ended", "client.registered", "client.removed", "consent.given", "consent.withdrawn", "quota.changed",
  "project.changed", "profile.changed", "publisher.added", "publisher.removed", "publisher.rotated",
  "invitation.added", "invitation.removed", "key.rotated", "restored.decided", "host.linked", "host.unlinked",
];
const OUTCOMES = ["ok", "refused", "failed"];
const SPANS = [["hour", 3600, "the last hour"], ["day", 86400, "the last day"], ["week", 604800, "the last week"], ["all", 0, "all that is kept"]];
const STEP_S = 60;

export function AccessPart() {
  const within = asked("within") || "day";
  const seconds = (SPANS.find(([name]) => name === within) ?? SPANS[1])[1];
  // To the minute, so that a page that is drawn again asks for the same.
  const since = seconds ? Math.floor((Date.now() / 1000 - Number(seconds)) / STEP_S) * STEP_S : undefined;
  const query = { user: asked("user"), kind: asked("kind"), outcome: asked("outcome"), since };
  const list = usePaged("/api/access", query);
  const choose = (name) => (event) => refine({ [name]: event.target.value.trim() });
  return html`<p class="filters">
      <label>User <input type="search" data-search value=${query.user} onChange=${choose("user")} /></label>
      <label>What <select value=${query.kind} onChange=${choose("kind")}><option value="">anything</option>
        ${KINDS.map((kind) => html`<option>${kind}</option>`)}</select></label>
      <label>Ended <select value=${query.outcome} onChange=${choose("outcome")}><option value="">in any way</option>
        ${OUTCOMES.map((outcome) => html`<option>${outcome}</option>`)}</select></label>
      <label>In <select value=${within} onChange=${choose("within")}>
        ${SPANS.map(([name, , text]) => html`<option value=${name}>${text}</option>`)}</select></label>
    </p>
    ${list.loaded && !list.error && !list.items.length && html`<p class="empty">Nothing was noted that fits.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Access events" heads=${["When", "What", "Ended", "User", "From", "How", "About", "By", "Why"]}>
      ${list.items.map((one) => html`<tr key=${one.seq}>
        <td><time datetime=${one.time} title=${exact(one.at)}>${time(one.at)}</time></td>
        <th scope="row">${one.kind}</th>
        <td><span class=${one.outcome === "ok" ? "status succeeded" : "status failed"}>${one.outcome}</span></td>
        <td>${one.user}</td><td>${one.address}</td><td>${one.method}</td>
        <td class="wide">${one.subject}</td><td>${one.asked_by}</td>
        <td class="wide">${[one.reason, ...Object.entries(one.details).map(([name, text]) => `${name}: ${text}`)].filter(Boolean).join(", ")}</td>
      </tr>`)}</${Table}>`}
    <${More} list=${list} what="event" />`;
}
