// Files of the reader's machine as a task's input: small ones stand in it, others are uploaded.
import { csrf } from "./api.js";

/** Bytes of text that may stand in an input itself. */
const INLINE = 32 * 1024;

/**
 * Files by name, as `input.files` takes them.
 * @param {File[]} files @param {(done: number, all: number) => void} onProgress bytes
 */
export async function inputFiles(files, onProgress) {
  const all = files.reduce((sum, file) => sum + file.size, 0);
  let room = INLINE, done = 0;
  const named = {};
  for (const file of files) {
    const text = file.size <= room ? await asText(file) : null;
    if (text !== null) room -= file.size;
    const before = done;
    named[file.webkitRelativePath || file.name] = text ?? await upload(file, (sent) => onProgress(before + sent, all));
    done += file.size;
    onProgress(done, all);
  }
  return named;
}

/** The file's text; null: it is none. */
async function asText(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/** Upload one file; the answer is its pointer. Raises Error with what the gateway says. */
async function upload(file, onProgress) {
  const token = await csrf();
  return new Promise((resolve, reject) => {
    // fetch tells nothing of how far a body has got.
    const request = new XMLHttpRequest();
    request.open("PUT", "/api/blobs");
    request.setRequestHeader("X-CSRF-Token", token);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onerror = () => reject(new Error(`${file.name}: the gateway can't be reached`));
    request.onload = () => {
      if (request.status < 300) resolve(request.response.data);
      else reject(new Error(`${file.name}: ${request.response?.error?.message ?? request.status}`));
    };
    request.send(file);
  });
}
