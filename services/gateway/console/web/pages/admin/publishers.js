// Publishers: outside services that publish tasks on NATS. They are kept where the NATS server is.
import { html } from "../../lib.js";
import { href } from "../../router.js";

const COMMANDS = [
  ["metamcp publisher", "lists them, and as whom each publishes"],
  ["metamcp publisher add NAME --user USER", "lets another one publish, and says where its credentials are"],
  ["metamcp publisher rotate NAME", "gives it a new password; the old one is refused"],
  ["metamcp publisher remove NAME", "lets it publish no more, and ends its connections"],
];

export function PublishersPart() {
  return html`<p>Outside services publish tasks on NATS with a login of their own. Their passwords are made where the
      NATS server's configuration lies, so it is done there, by these commands:</p>
    <dl class="commands">${COMMANDS.map(([command, text]) => html`<dt><code>${command}</code></dt><dd>${text}</dd>`)}</dl>
    <p>What became of them is noted: <a href=${href("/admin/access", { kind: "publisher.added", within: "all" })}>added</a>,
      ${" "}<a href=${href("/admin/access", { kind: "publisher.rotated", within: "all" })}>rotated</a>,
      ${" "}<a href=${href("/admin/access", { kind: "publisher.removed", within: "all" })}>removed</a>.</p>`;
}
