async function checksum(text) {
  const data = new TextEncoder().encode(text);
  const digest = await window.crypto.subtle.digest('SHA-1', data);
  return Array.from(new Uint8Array(digest));
}
