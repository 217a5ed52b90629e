// A task's tags: each leads to the tasks that have it, and they can be changed.
import { html, useState } from "../lib.js";
import { api } from "../api.js";
import { href } from "../router.js";
import { others } from "../links.js";
import { tagsOfLines, tagWords } from "../tags.js";
import { Failed } from "./told.js";

/** @param {{task: any, own: boolean}} props */
export function Tags({ task, own }) {
  const [editing, setEditing] = useState(false);
  const tags = Object.entries(task.tags ?? {});
  if (editing) return html`<${Edit} task=${task} onDone=${() => setEditing(false)} />`;
  return html`<span class="tags">${tags.map(([name, value]) => {
    const tag = tagWords(name, value);
    return html`<a class="tag" href=${href("/tasks", { tag, user: others(task.user) })}>${tag}</a>`;
  })}${!tags.length && "none"}
  ${own && html` <button class="quiet" onClick=${() => setEditing(true)}>Edit tags</button>`}</span>`;
}

function Edit({ task, onDone }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const save = async (event) => {
    event.preventDefault();
    const tags = tagsOfLines(event.target.elements.namedItem("tags").value);
    try {
      await api(`/api/tasks/${encodeURIComponent(task.id)}/tags`, { method: "PUT", body: { tags } });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  const text = Object.entries(task.tags ?? {}).map(([name, value]) => tagWords(name, value)).join("\n");
  return html`<form class="tagging" onSubmit=${save}>
    <label><small>One a line: name, or name=value</small>
      <textarea name="tags" rows="4" spellcheck="false" defaultValue=${text}></textarea></label>
    <${Failed} error=${error} />
    <button class="yes">Save tags</button> <button type="button" onClick=${onDone}>Leave them</button>
  </form>`;
}
