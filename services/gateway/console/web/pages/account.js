// Account: who has signed in here, what is theirs, and what was given out in their name.
import { html } from "../lib.js";
import { Sections } from "./admin/kit.js";
import { Connected } from "./account/connected.js";
import { Preferences } from "./account/preferences.js";
import { Profiles } from "./account/profiles.js";
import { Projects } from "./account/projects.js";
import { SessionsPart } from "./account/sessions.js";
import { TokensPart } from "./account/tokens.js";
import { You } from "./account/you.js";

const SECTIONS = [
  { name: "", title: "You", Part: You },
  { name: "tokens", title: "Tokens", Part: TokensPart },
  { name: "sessions", title: "Sessions", Part: SessionsPart },
  { name: "connected", title: "Connected accounts", Part: Connected },
  { name: "projects", title: "Projects", Part: Projects },
  { name: "preferences", title: "Preferences", Part: Preferences },
  { name: "profiles", title: "Profiles", Part: Profiles },
];

export function AccountPage({ found }) {
  return html`<${Sections} root="/account" title="Account" sections=${SECTIONS} found=${found} />`;
}
