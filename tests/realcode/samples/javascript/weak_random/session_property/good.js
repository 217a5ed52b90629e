import { randomUUID } from 'node:crypto';

export function startSession(user) {
  return {
    user: user.id,
    sessionId: randomUUID(),
    startedAt: Date.now(),
  };
}
