// Permits: JSON Web Tokens, verified by the browser's own WebCrypto with the key that the log has.
import { repr, whole } from "./words.js";

const SKEW_S = 5;
const ISSUER = "metamcp";
const STRINGS = ["iss", "sub", "aud", "jti", "task_id", "input_sha256"];
const NUMBERS = ["iat", "nbf", "exp", "attempt"];
const KINDS = {
  RSA: { alg: "RS256", members: ["e", "kty", "n"], how: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } },
  OKP: { alg: "EdDSA", members: ["crv", "kty", "x"], how: { name: "Ed25519" } },
};

/** What is wrong with a permit; the message is the audit's. */
export class BadPermit extends Error {}

/** The id of the key that a token says it was signed with; nothing is verified yet. */
export function kidOf(token) {
  const head = headOf(token);
  if (!("kid" in head)) throw new BadPermit("the permit names no key: 'kid'");
  return String(head.kid);
}

function headOf(token) {
  try {
    const parts = token.split(".");
    if (parts.length !== 3) throw new Error("Not enough segments");
    const head = JSON.parse(textOf(parts[0]));
    if (typeof head !== "object" || head === null || Array.isArray(head)) throw new Error("Invalid header");
    return head;
  } catch (error) {
    throw new BadPermit(`the permit names no key: ${error.message}`);
  }
}

/**
 * The claims, if the key has signed them. The algorithm is the key's, whatever the token says.
 * @param {string} token @param {Record<string, any>} jwk
 */
export async function verify(token, jwk) {
  const kind = KINDS[jwk.kty];
  if (!kind || (jwk.alg ?? kind.alg) !== kind.alg) throw invalid("the key is of another kind");
  const own = await thumbprint(jwk, kind.members), head = headOf(token), kid = kidOf(token);
  if (kid !== own) throw new BadPermit(`the permit was signed with key ${kid}, not with ${own}`);
  if (head.alg !== kind.alg) throw invalid("The specified alg value is not allowed");
  if ("crit" in head) throw invalid("Unsupported critical extension");
  const at = token.lastIndexOf(".");
  const signed = new TextEncoder().encode(token.slice(0, at));
  const key = await imported(jwk, kind);
  if (!(await crypto.subtle.verify(kind.how, key, bytesOf(token.slice(at + 1)), signed))) {
    throw invalid("Signature verification failed");
  }
  return claimsOf(token.split(".")[1]);
}

async function imported(jwk, { members, how }) {
  const bare = Object.fromEntries(members.map((name) => [name, jwk[name]]));
  try {
    return await crypto.subtle.importKey("jwk", bare, how, false, ["verify"]);
  } catch (error) {
    throw invalid(`this browser can't use the key: ${error.message}`);
  }
}

function claimsOf(part) {
  let claims;
  try {
    claims = JSON.parse(textOf(part));
  } catch (error) {
    throw invalid(error.message);
  }
  if (claims.iss !== ISSUER) throw invalid("iss" in claims ? "Invalid issuer" : 'Token is missing the "iss" claim');
  for (const name of STRINGS) if (typeof claims[name] !== "string") throw invalid(`it has no claim ${name}`);
  for (const name of NUMBERS) if (!Number.isInteger(claims[name])) throw invalid(`it has no claim ${name}`);
  return { host: "", ...claims };
}

function invalid(text) {
  return new BadPermit(`the permit is not valid: ${text}`);
}

/** RFC 7638. */
async function thumbprint(jwk, members) {
  const text = JSON.stringify(Object.fromEntries(members.map((name) => [name, jwk[name]])));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return btoa(String.fromCharCode(...digest)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function bytesOf(part) {
  if (!/^[A-Za-z0-9_-]*$/.test(part)) throw invalid("Invalid crypto padding");
  const text = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (one) => one.charCodeAt(0));
}

function textOf(part) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(part));
}

/** What of the claims does not fit the fact that carries them, which was stored `at`. */
export function wrongClaims(claims, fact, at) {
  const wanted = {
    sub: fact.user, host: claims.host ? fact.host : "", jti: `${fact.task}.${fact.attempt}`,
    task_id: fact.task, attempt: fact.attempt, input_sha256: fact.input_sha256,
  };
  const found = Object.entries(wanted)
    .filter(([name, value]) => claims[name] !== value)
    .map(([name, value]) => `${name} is ${repr(claims[name])}, not ${repr(value)}`);
  if (Math.abs(claims.exp - fact.expires) > 1) {
    found.push(`exp is ${claims.exp}, the fact says ${whole(fact.expires)}`);
  }
  if (!(claims.nbf - SKEW_S <= at && at < claims.exp + SKEW_S)) {
    found.push(`time does not hold when the claim was made (${whole(at)})`);
  }
  return found;
}

/** What is wrong with whom it is for; empty: nothing. `known`: of the host's registration. */
export function wrongAudience({ aud, host }, named, known) {
  let wanted = named;
  if (host && known) {
    if (known.space) return aud.includes("://") ? "" : `is ${repr(aud)}, and no address`;
    if (known.refused) return `is ${repr(aud)}, but ${known.refused}`;
    wanted = known.audience;
  } else if (host) return "";
  return aud === wanted ? "" : `is ${repr(aud)}, not ${repr(wanted)}`;
}
