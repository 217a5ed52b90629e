// What tasks wait for, in words.

const REASONS = {
  turn: "their turn, or a slot of an executor",
  host_busy: "a slot of",
  host_down: "a host that works again",
  share: "attempts of the same user to end",
  no_host: "a host that can serve them",
  later: "their time: a later start, or the pause after a failure",
  answer: "a person's answer",
};

/** @param {{reason: string, hosts?: string[]}} wait */
export function waitWords({ reason, hosts = [] }) {
  const words = REASONS[reason] ?? reason;
  return reason === "host_busy" ? `${words} ${hosts.join(" or ")}` : words;
}
