// Access: who came in, who was kept out, and what was changed of it.
import { html } from "../../lib.js";
import { exact, time } from "../../format.js";
import { refine } from "../../router.js";
import { More, Table, asked, usePaged } from "./kit.js";

const KINDS = {
  sign_in: "signed in", sign_out: "signed out", refresh: "renewal of access", denied: "access denied",
  throttled: "too many tries", "user.created": "user created", "user.changed": "user changed",
  "user.disabled": "user disabled", "user.deleted": "user deleted", "password.changed": "password changed",
  "identity.linked": "sign-in linked", "identity.unlinked": "sign-in unlinked", "token.issued": "token made",
  "token.revoked": "token revoked", "session.ended": "session ended", "client.registered": "program registered",
  "client.removed": "program removed", "consent.given": "program allowed", "consent.withdrawn": "program no longer allowed",
  "quota.changed": "quota changed", "project.changed": "project changed", "profile.changed": "profile changed",
  "publisher.added": "publisher added", "publisher.removed": "publisher removed",
  "publisher.rotated": "publisher's password changed", "invitation.added": "user invited",
  "invitation.removed": "invitation withdrawn", "key.rotated": "signing key changed",
  "restored.decided": "restored log decided on", "host.linked": "signed in at a host",
  "host.unlinked": "signed out at a host", dropped: "events lost",
};
/** Of events whose kind does not say what they are about. */
const ABOUT = { sign_in: "session", sign_out: "session", "session.ended": "session", "key.rotated": "key" };
const REASONS = { unauthorized: "not signed in", reuse: "a renewal was used twice", forbidden: "no right to it" };
const OUTCOMES = ["ok", "refused", "failed"];
const ID = /^(\w+:)?(?=.*\d)[\w-]{20,}$/, SHOWN = 8;
const SPANS = [["hour", 3600, "the last hour"], ["day", 86400, "the last day"], ["week", 604800, "the last week"], ["all", 0, "all that is kept"]];
const STEP_S = 60;

export function AccessPart() {
  const within = asked("within") || "day";
  const seconds = (SPANS.find(([name]) => name === within) ?? SPANS[1])[1];
  // To the minute, so that a page that is drawn again asks for the same.
  const since = seconds ? Math.floor((Date.now() / 1000 - Number(seconds)) / STEP_S) * STEP_S : undefined;
  const query = { user: asked("user"), kind: asked("kind"), outcome: asked("outcome"), since, order: "newest" };
  const list = usePaged("/api/access", query);
  const choose = (name) => (event) => refine({ [name]: event.target.value.trim() });
  return html`<p class="filters">
      <label>User <input type="search" data-search value=${query.user} onChange=${choose("user")} /></label>
      <label>What <select value=${query.kind} onChange=${choose("kind")}><option value="">anything</option>
        ${Object.entries(KINDS).map(([kind, text]) => html`<option value=${kind}>${text}</option>`)}</select></label>
      <label>Outcome <select value=${query.outcome} onChange=${choose("outcome")}><option value="">any</option>
        ${OUTCOMES.map((outcome) => html`<option>${outcome}</option>`)}</select></label>
      <label>When <select value=${within} onChange=${choose("within")}>
        ${SPANS.map(([name, , text]) => html`<option value=${name}>${text}</option>`)}</select></label>
    </p>
    ${list.loaded && !list.error && !list.items.length && html`<p class="empty">Nothing was noted that fits.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Access events" heads=${["When", "What", "Outcome", "User", "From", "How", "Subject", "Done by", "Why"]}>
      ${list.items.map((one) => html`<tr key=${one.seq}>
        <td><time datetime=${one.time} title=${exact(one.at)}>${time(one.at)}</time></td>
        <th scope="row" title=${one.kind}>${KINDS[one.kind] ?? one.kind}</th>
        <td><span class=${one.outcome === "ok" ? "status succeeded" : "status failed"}>${one.outcome}</span></td>
        <td>${one.user}</td><td>${one.address}</td><td>${one.method}</td>
        <td class="wide any" title=${one.subject}>${about(one)}</td><td title=${one.asked_by}>${cut(one.asked_by)}</td>
        <td class="wide" title=${one.reason}>${[REASONS[one.reason] ?? one.reason, ...Object.entries(one.details).map(([name, text]) => `${name}: ${text}`)].filter(Boolean).join(", ")}</td>
      </tr>`)}</${Table}>`}
    <${More} list=${list} what="event" />`;
}

function about({ kind, subject }) {
  const text = cut(subject);
  return text !== subject && ABOUT[kind] ? `${ABOUT[kind]} ${text}` : text;
}

/** The end of a long id, which tells it from others; what kind of id it is stays. @param {string} text */
function cut(text) {
  const found = ID.exec(text);
  return found ? `${found[1] ?? ""}…${text.slice(-SHOWN)}` : text;
}
