// Encrypted backups: a script of a few pages, written from docs/format.md alone, opens them with each kind of key.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { brotliDecompressSync, inflateSync } from 'node:zlib';
import { assertSameBytes, backUp, filesIn, folder, recordsIn, report, restoredIn, run, teeline } from './harness.mjs';

const keys = folder('keys');
const passphrase = 'Größe, 大きさ';
let recipient;
let plain;
const made = {};
const secretOf = (name) => readFileSync(join(keys, name), 'utf8').trim();

before(async () => {
  ({ recipient } = report(0, 'key', 'generate', '--x25519', '--out', join(keys, 'pair')));
  teeline(0, 'key', 'generate', '--out', join(keys, 'key'));
  writeFileSync(join(keys, 'passphrase'), `${passphrase}\n`, { mode: 0o600 });
  plain = await backUp('sealed-not');
  const sealed = ['--passphrase-file', join(keys, 'passphrase'), '--key-file', join(keys, 'key'), '--recipient', recipient, '--segment-bytes', '1MiB', '--block-bytes', '64KiB'];
  for (const compression of ['gzip', 'deflate', 'brotli', 'none']) {
    made[compression] = await backUp(`sealed-${compression}`, undefined, ...sealed, '--compression', compression);
  }
});

/** Opens a backup's folder with the script, which must end with `code`; gives the folder of what it opened. */
function opened(code, files, secret) {
  const out = folder('opened');
  const script = join(import.meta.dirname, 'open_sealed.py');
  const { code: seen, stderr } = run('python3', [script, files, out], { env: { ...process.env, SECRET: secret } });
  assert.equal(seen, code, `${stderr}`);
  return out;
}

for (const [compression, decode] of Object.entries({ gzip: undefined, deflate: inflateSync, brotli: brotliDecompressSync, none: undefined })) {
  test(`with ${compression}, what is opened is the file that it would have been`, () => {
    const out = opened(0, made[compression].files, secretOf('key'));
    assertSameBytes(recordsIn(out, decode), recordsIn(plain.files), compression);
    assert.deepEqual(readFileSync(join(out, '_database.json')), readFileSync(join(plain.files, '_database.json')));
  });
}

test('the keys of all objects are in the rows, and nowhere in the clear', () => {
  const out = opened(0, made.gzip.files, secretOf('key'));
  const rows = readdirSync(out).filter((name) => name.endsWith('.rows')).flatMap((name) => readFileSync(join(out, name), 'utf8').trimEnd().split('\n').filter(Boolean));
  const { resources } = report(0, 'status', made.gzip.backup.id, '--at', made.gzip.local);
  const records = resources.reduce((sum, { recordCount }) => sum + recordCount, 0);
  const objects = new Set(rows.map((row) => JSON.parse(row).object.key));
  assert.ok(records > 5000 && objects.size >= records, `${objects.size} of ${records}`);
  for (const [path, bytes] of filesIn(made.gzip.local)) assert.ok(!bytes.includes('resource='), path);
});

test('each kind of key opens it, for the script and for teeline', () => {
  const { files, local, remote } = made.gzip;
  for (const [name, option] of [['passphrase', '--passphrase-file'], ['key', '--key-file'], ['pair', '--key-file']]) {
    assertSameBytes(recordsIn(opened(0, files, secretOf(name))), recordsIn(plain.files), name);
    const target = join(folder('restored'), 'it');
    teeline(0, 'restore', 'latest', '--at', remote, '--target', target, option, join(keys, name));
    assertSameBytes(restoredIn(target), recordsIn(plain.files), name);
  }
  opened(12, files, 'another passphrase');
  teeline(0, 'verify', 'latest', '--deep', '--at', local, '--at', remote, '--key-file', join(keys, 'pair'));
});

test('a key that is rotated opens it no more, and the new one does', () => {
  const { backup, files, local, remote } = made.none;
  const fresh = join(folder('keys'), 'fresh');
  teeline(0, 'key', 'generate', '--out', fresh);
  teeline(0, 'key', 'rotate', backup.id, '--at', local, '--at', remote, '--key-file', join(keys, 'key'), '--new-key-file', fresh);
  opened(12, files, secretOf('key'));
  assertSameBytes(recordsIn(opened(0, files, readFileSync(fresh, 'utf8').trim())), recordsIn(plain.files), 'rotated');
  teeline(12, 'restore', backup.id, '--at', remote, '--target', join(folder('restored'), 'it'), '--key-file', join(keys, 'key'));
});

test('the script finds out what was tampered with', () => {
  const names = readdirSync(made.gzip.files, { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => name);
  for (const name of names) {
    const copy = join(folder('tampered'), 'it');
    cpSync(made.gzip.files, copy, { recursive: true });
    const bytes = readFileSync(join(copy, name));
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    writeFileSync(join(copy, name), bytes);
    const script = join(import.meta.dirname, 'open_sealed.py');
    const { code } = run('python3', [script, copy, folder('opened')], { env: { ...process.env, SECRET: secretOf('key') } });
    assert.notEqual(code, 0, name);
  }
});
