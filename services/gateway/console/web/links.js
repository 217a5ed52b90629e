// Where the pages of others' things are.
import { href } from "./router.js";
import { me } from "./session.js";

/**
 * A task's page. Ids are of one user: without saying whose, it would be the reader's own of that id.
 * @param {string} id @param {string} user
 */
export function taskHref(id, user) {
  return href(`/tasks/${id}`, { user: others(user) });
}

/** The user whose it is, unless that is the reader. @param {string} user */
export function others(user) {
  return user === me.value?.user ? undefined : user;
}
