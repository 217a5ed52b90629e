// Admin: users, what they may, who came in, and what the gateway runs with.
import { html } from "../lib.js";
import { isAdmin } from "../session.js";
import { AccessPart } from "./admin/access.js";
import { ClientsPart } from "./admin/clients.js";
import { InvitationsPart } from "./admin/invitations.js";
import { KeysPart } from "./admin/keys.js";
import { Sections } from "./admin/kit.js";
import { PublishersPart } from "./admin/publishers.js";
import { SettingsPart } from "./admin/settings.js";
import { AllTokens } from "./admin/tokens.js";
import { UsersPart } from "./admin/users.js";

const KEPT_BY_ADMINS = [
  { name: "", title: "Users", Part: UsersPart },
  { name: "invitations", title: "Invitations", Part: InvitationsPart },
  { name: "tokens", title: "Tokens", Part: AllTokens },
  { name: "clients", title: "Programs", Part: ClientsPart },
];
const LOOKED_AT = [
  { name: "access", title: "Access", Part: AccessPart },
  { name: "keys", title: "Keys", Part: KeysPart },
];
const SECTIONS = [
  ...KEPT_BY_ADMINS, ...LOOKED_AT,
  { name: "publishers", title: "Publishers", Part: PublishersPart },
  { name: "settings", title: "Settings", Part: SettingsPart },
];
const OF_AUDITORS = [{ ...LOOKED_AT[0], name: "" }, ...LOOKED_AT.slice(1)];

export function AdminPage({ found }) {
  const sections = isAdmin.value ? SECTIONS : OF_AUDITORS;
  const at = found[0]?.startsWith("users/") ? [`/${found[0].slice("users/".length)}`] : found;
  return html`<${Sections} root="/admin" title="Admin" sections=${sections} found=${at} />`;
}
