// Quotas: what one user may have and do otherwise than everybody.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { Failed } from "../../parts/told.js";
import { Budgets, budgetWords } from "../account/you.js";
import { Deed, Field, Sending, When, typed, useLoaded } from "./kit.js";

const NAMES = [
  "tasks_a_day", "open_tasks", "open_bytes", "stored_bytes", "stored_blobs", "facts", "hosts", "tokens",
  "sign_ins", "subscriptions", "event_streams", "mcp_sessions", "history_readers",
];

/** @param {{user: string}} props */
export function Quota({ user }) {
  const path = `/api/users/${encodeURIComponent(user)}/quota`;
  const found = useLoaded(async () => (await api(path)).data, [user]);
  const quota = found.data;
  const put = async (fields) => {
    const limits = { ...quota.limits, [typed(fields, "quota")]: Number(fields.get("most")) };
    await api(path, { method: "PUT", body: { limits, revision: quota.revision } });
    await found.again();
  };
  const unset = async () => {
    await api(path, { method: "DELETE" });
    await found.again();
  };
  return html`<${Failed} error=${found.error} />
    ${quota && html`<${Budgets} budgets=${quota.budgets} used=${quota.used} exceptions=${quota.limits} />
      ${quota.changed > 0 && html`<p class="deeds"><small>set by ${quota.by}, <${When} at=${quota.changed} /></small>
        <${Deed} label="As everybody" sure="Take all of this user's own numbers away?" run=${unset} /></p>`}
      <${Sending} label="Set it" title="Set a quota" send=${put}>
        <${Field} label="Quota"><select name="quota">${NAMES.map((name) => html`<option value=${name}>${budgetWords(name)}</option>`)}</select></${Field}>
        <${Field} label="At most" note="0: no limit, for what is counted in a time."><input name="most" type="number" min="0" required /></${Field}>
      </${Sending}>`}`;
}
