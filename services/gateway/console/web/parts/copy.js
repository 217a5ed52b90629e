// Text to be taken along, with a button that copies it.
import { html, useState } from "../lib.js";

/** @param {{text: string, label: string}} props */
export function Copy({ text, label }) {
  const [told, setTold] = useState("");
  const copy = async (/** @type {any} */ event) => {
    const pre = event.target.closest(".copy").querySelector("pre");
    try {
      await navigator.clipboard.writeText(text);
      setTold("copied");
    } catch {
      // Without a secure context the browser gives no clipboard.
      getSelection()?.selectAllChildren(pre);
      setTold("selected: press Ctrl-C");
    }
  };
  return html`<div class="copy"><pre tabindex="0" aria-label=${label}>${text}</pre>
    <p><button type="button" aria-label=${`Copy: ${label}`} onClick=${copy}>Copy</button>
      <small role="status">${told}</small></p></div>`;
}
