// Verification in the browser: that a log, as a key has signed it, has an event (docs/proof.md). It trusts the pinned
// key and the bytes that are shown, and nothing else that the server says.

const encoder = new TextEncoder();

// Wrong says that something does not verify: which step, by a name of text.js.
export class Wrong extends Error {}

const wrong = (reason) => {
  throw new Wrong(reason);
};

function bytes(base64) {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

const equal = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

async function sha256(...parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all));
}

const leaf = Uint8Array.of(0),
  node = Uint8Array.of(1),
  ed25519 = Uint8Array.of(1),
  newline = Uint8Array.of(10);

// parseKey reads a public key such as name+hash+base64; null if it is none.
export function parseKey(text) {
  const m = text.trim().match(/^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/);
  const raw = m && bytes(m[3]);
  return raw && raw.length === 33 && raw[0] === 1
    ? { text: text.trim(), name: m[1] + '+' + m[2], raw: raw.slice(1) }
    : null;
}

// supported tells whether the browser can check signatures.
export async function supported() {
  try {
    await crypto.subtle.importKey('raw', new Uint8Array(32), 'Ed25519', false, ['verify']);
    return true;
  } catch (e) {
    return e.name !== 'NotSupportedError' && !(e instanceof TypeError);
  }
}

// parseCheckpoint reads a signed checkpoint: {origin, size, root, body, signatures: [{name, raw}]}.
export function parseCheckpoint(text) {
  const end = text.indexOf('\n\n');
  const [origin, size, root] = text.slice(0, end).split('\n');
  const raw = root && bytes(root);
  if (end < 0 || !/^(0|[1-9]\d{0,15})$/.test(size ?? '') || !raw || raw.length !== 32) wrong('checkpoint');
  const signatures = text
    .slice(end + 2)
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const m = line.match(/^\u2014 (\S+) (\S+)$/);
      const sig = m && bytes(m[2]);
      if (!sig || sig.length < 5) wrong('checkpoint');
      return { name: m[1], raw: sig };
    });
  return { origin, size: Number(size), root: raw, body: encoder.encode(text.slice(0, end + 1)), signatures };
}

// verifyCheckpoint returns a checkpoint of a log that a key has signed. One key signs for all logs of a bucket, under
// each log's own name.
export async function verifyCheckpoint(text, log, key) {
  const c = parseCheckpoint(text);
  if (!c.origin.endsWith('/' + log)) wrong('origin');
  const publicKey = await crypto.subtle.importKey('raw', key.raw, 'Ed25519', false, ['verify']);
  for (const s of c.signatures) {
    if (s.raw.length !== 68 || s.name !== c.origin) continue;
    const id = await sha256(encoder.encode(s.name), newline, ed25519, key.raw);
    if (!equal(id.slice(0, 4), s.raw.slice(0, 4))) continue;
    if (await crypto.subtle.verify('Ed25519', publicKey, s.raw.slice(4), c.body)) return c;
  }
  return wrong('signature');
}

// verifyEntry returns the checkpoint by which a line is the entry of an index in a log. The proof is as the API gives
// it.
export async function verifyEntry(line, log, index, proof, key) {
  if (proof.index !== index) wrong('index');
  const digest = await sha256(encoder.encode(line));
  const said = bytes(proof.entry);
  if (!said || !equal(digest, said)) wrong('digest');
  const c = await verifyCheckpoint(proof.checkpoint, log, key);
  const hashes = (proof.hashes ?? []).map(bytes);
  if (index >= c.size || hashes.length > 64 || hashes.some((h) => !h || h.length !== 32)) wrong('root');
  if (!equal(await rootOf(await sha256(leaf, digest), index, c.size, hashes), c.root)) wrong('root');
  return c;
}

// rootOf returns the root that an inclusion proof leads to (RFC 9162, 2.1.3.2); nothing if it has the wrong length.
async function rootOf(hash, index, size, hashes) {
  let at = index,
    last = size - 1;
  for (const h of hashes) {
    if (last === 0) return [];
    if (at % 2 === 1 || at === last) {
      hash = await sha256(node, h, hash);
      while (at % 2 === 0 && at !== 0) {
        at /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = await sha256(node, hash, h);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : [];
}

const pinned = 'weir-pinned-key';

// pin keeps a key in this browser, or forgets it (null).
export function pin(text) {
  try {
    if (text === null) localStorage.removeItem(pinned);
    else localStorage.setItem(pinned, text);
  } catch {
    /* a browser that keeps nothing: the key is asked for again */
  }
}

// pinnedKey returns the key that was pinned; null if there is none.
export function pinnedKey() {
  try {
    return parseKey(localStorage.getItem(pinned) ?? '');
  } catch {
    return null;
  }
}
