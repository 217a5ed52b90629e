// Files of the reader's machine as a task's input: small ones stand in it, others are uploaded.
import { csrf, ApiError } from "./api.js";

/** Bytes of text that may stand in an input itself. */
const INLINE = 32 * 1024;
/** Files that one task may bring along: `contracts.task.MAX_FILES`. */
export const MOST_FILES = 10_000;
const LEFT_OUT = /(?:^|\/)(?:\.git|node_modules|__pycache__|\.venv)\//;

/** A file's name in an input: below the folder that was chosen. @param {File} file */
export function nameOf(file) {
  return file.webkitRelativePath || file.name;
}

/**
 * What of a folder is sent: nothing that is made anew from the rest.
 * @param {Iterable<File>} files @returns {{taken: File[], left: number}}
 */
export function chosen(files) {
  const every = [...files];
  const taken = every.filter((file) => !LEFT_OUT.test(nameOf(file)));
  return { taken, left: every.length - taken.length };
}

/**
 * All files of what was dropped, also those in folders.
 * @param {DataTransfer} dropped @returns {Promise<File[]>}
 */
export async function droppedFiles(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry?.isDirectory)) return [...dropped.files];
  /** @type {File[]} */
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

/** @param {any} entry @param {File[]} found */
async function walk(entry, found) {
  if (found.length > MOST_FILES) return;
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    // A file of a dropped folder does not say where it lies.
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.replace(/^\//, "") });
    found.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}

/**
 * Files by name, as `input.files` takes them.
 * @param {File[]} files @param {(done: number, all: number) => void} onProgress bytes
 */
export async function inputFiles(files, onProgress) {
  const all = files.reduce((sum, file) => sum + file.size, 0);
  let room = INLINE, done = 0;
  /** @type {[string, any][]} */
  const named = [];
  for (const file of files) {
    const text = file.size <= room ? await asText(file) : null;
    if (text !== null) room -= file.size;
    const before = done;
    named.push([nameOf(file), text ?? await upload(file, (sent) => onProgress(before + sent, all))]);
    done += file.size;
    onProgress(done, all);
  }
  return Object.fromEntries(named);
}

/** The file's text; null: it is none. @param {Blob} file */
async function asText(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/**
 * Upload one file; the answer is its pointer. Raises ApiError with what the gateway says.
 * @param {Blob} file @param {(sent: number) => void} onProgress
 */
export async function upload(file, onProgress) {
  return (await sent("PUT", "/api/blobs", file, onProgress)).data;
}

/**
 * Send bytes, and tell how far they have got; the answer is the envelope.
 * @param {string} method @param {string} url @param {Blob} body
 * @param {(sent: number) => void} onProgress @returns {Promise<any>}
 */
export async function sent(method, url, body, onProgress) {
  const token = await csrf();
  const name = body instanceof File ? `${nameOf(body)}: ` : "";
  return new Promise((resolve, reject) => {
    // fetch tells nothing of how far a body has got.
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.setRequestHeader("X-CSRF-Token", token);
    request.setRequestHeader("Content-Type", body.type || "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onerror = () => reject(new Error(`${name}The gateway can't be reached.`));
    request.onload = () => {
      const { status, response } = request;
      if (status < 300) return resolve(response);
      const failure = response?.error ?? { message: `the gateway answered ${status}` };
      reject(new ApiError(status, { ...failure, message: `${name}${failure.message}` }));
    };
    request.send(body);
  });
}
