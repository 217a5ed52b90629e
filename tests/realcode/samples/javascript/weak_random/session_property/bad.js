export function startSession(user) {
  return {
    user: user.id,
    sessionId: `${user.id}-${Math.floor(Math.random() * 1e9)}`,
    startedAt: Date.now(),
  };
}
