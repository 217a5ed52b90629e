// Overview: what works, and what does not.
import { html, useEffect, useSignal } from "../lib.js";
import { api } from "../api.js";
import { href } from "../router.js";
import { Failed } from "../parts/told.js";

export function OverviewPage() {
  const health = useSignal(null), error = useSignal(null);
  useEffect(() => {
    api("/api/health").then(({ data }) => {
      health.value = data;
    }, (failed) => {
      error.value = failed;
    });
  }, []);
  return html`<h1>Overview</h1>
    <${Failed} error=${error.value} />
    ${health.value && html`<ul class="cards">${health.value.services.map((one) => html`<li class="card">
      <h2>${one.service}</h2><p>${one.up ? one.instance : "does not answer"}</p></li>`)}</ul>`}
    <p><a href=${href("/tasks")}>See all tasks</a></p>`;
}
