// Who has signed in here, and what they may.
import { computed, signal } from "./lib.js";

/** As `GET /api/me` tells it; null until that has answered. */
export const me = signal(null);

export const isAdmin = computed(() => me.value?.roles.includes("admin") ?? false);
export const isAuditor = computed(() => me.value?.roles.includes("auditor") ?? false);
