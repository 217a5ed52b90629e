// Tokens of all users, for the role admin.
import { html } from "../../lib.js";
import { refine } from "../../router.js";
import { TokenTable } from "../account/tokens.js";
import { asked, usePaged } from "./kit.js";

export function AllTokens() {
  const user = asked("user");
  const list = usePaged("/api/tokens", user ? { user } : {});
  return html`<p class="filters"><label>User <input type="search" data-search value=${user} placeholder="all users"
      onChange=${(event) => refine({ user: event.target.value.trim() })} /></label></p>
    <${TokenTable} list=${list} whose />`;
}
