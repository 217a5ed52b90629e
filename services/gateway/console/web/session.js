// Who has signed in here, what they may, and how a link lets somebody in.
import { computed, signal } from "./lib.js";
import { ApiError, failureOf } from "./api.js";

/** As `GET /api/me` tells it; null until that has answered. @type {{value: any}} */
export const me = signal(null);

export const isAdmin = computed(() => me.value?.roles.includes("admin") ?? false);
export const isAuditor = computed(() => me.value?.roles.includes("auditor") ?? false);

const FORM = /^#code=([\w-]{1,200})$/;

/** The code of the link that this page was opened with; the address forgets it at once. */
export function takeCode() {
  const found = FORM.exec(location.hash);
  if (found) history.replaceState(history.state, "", location.pathname + location.search);
  return found?.[1] ?? "";
}

/** Sign in by the link that this page was opened with, if it was. Raises ApiError. */
export async function arrive() {
  const code = takeCode();
  if (!code) return;
  const answer = await fetch("/api/auth/console", {
    method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (!answer.ok) throw new ApiError(answer.status, await failureOf(answer));
}

/** A link that is opened where the console is open already only changes the fragment. */
export function followLinks() {
  addEventListener("hashchange", () => FORM.test(location.hash) && location.reload());
}
