// Formats in which a file is one stream from its first byte to its last: decoders that know nothing of chunks read each file whole.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { brotliDecompressSync, inflateSync } from 'node:zlib';
import { assertSameBytes, backUp, dataFiles, folder, recordsIn, report, restoredIn, run, source, teeline } from './harness.mjs';
import { random } from './kit.mjs';

const decoders = { deflate: inflateSync, brotli: brotliDecompressSync };

/** Lines that are several files, compressed as well. */
function lines() {
  const { pick } = random(5);
  const noise = (length) => Array.from({ length }, () => pick('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789')).join('');
  return Buffer.from(Array.from({ length: 3000 }, (_, id) => `${JSON.stringify({ id: `${id}`, text: noise(1200) })}\n`).join(''));
}

const many = lines();
const from = join(folder('streams'), 'many.jsonl');
const made = {};
const files = {};
before(async () => {
  writeFileSync(from, many);
  made.none = await backUp('streams-none', source, '--compression', 'none');
  for (const compression of Object.keys(decoders)) {
    const small = ['--compression', compression, '--block-bytes', '64KiB', '--segment-bytes', '1MiB'];
    made[compression] = await backUp(`streams-${compression}`, source, ...small);
    const to = folder(`streams-${compression}`);
    const { id } = report(0, 'backup', 'full', '--from', from, '--to', to, ...small);
    files[compression] = dataFiles(join(to, id)).map(({ path }) => path);
    assert.ok(files[compression].length > 2, `${files[compression]}`);
  }
});

for (const [compression, decode] of Object.entries(decoders)) {
  test(`with ${compression}, Node reads each file whole`, () => {
    assert.ok(Buffer.concat(files[compression].map((path) => decode(readFileSync(path)))).equals(many));
    assertSameBytes(recordsIn(made[compression].files, decode), recordsIn(made.none.files), compression);
  });

  test(`with ${compression}, both copies are right, and the bucket's comes back`, () => {
    const { local, remote } = made[compression];
    teeline(0, 'verify', 'latest', '--at', local, '--at', remote);
    const target = join(folder('streams'), 'restored');
    teeline(0, 'restore', 'latest', '--at', remote, '--target', target);
    assertSameBytes(restoredIn(target), recordsIn(made.none.files), compression);
  });
}

test('with deflate, one object of Python\'s zlib reads each file to its end', () => {
  const program = `
import sys, zlib
decoder = zlib.decompressobj()
sys.stdout.buffer.write(decoder.decompress(open(sys.argv[1], 'rb').read()))
assert decoder.eof and not decoder.unused_data`;
  const read = files.deflate.map((path) => run('python3', ['-c', program, path]));
  for (const { code, stderr } of read) assert.equal(code, 0, `${stderr}`);
  assert.ok(Buffer.concat(read.map(({ stdout }) => stdout)).equals(many));
});
