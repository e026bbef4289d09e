// One backup to a folder and a bucket: what it says, and what is there afterwards.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { assertSameBytes, backUp, dataFiles, filesIn, objectsIn, recordsIn, recordsInSource, run } from './harness.mjs';

let made;
let inSource;
before(async () => {
  inSource = await recordsInSource();
  made = await backUp('roundtrip');
});

test('the report says what was done', () => {
  const { backup } = made;
  assert.match(backup.id, /^full-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-[a-z0-9]+$/);
  assert.equal(backup.type, 'full');
  assert.equal(backup.status, 'completed');
  assert.equal(backup.recordCount, [...inSource.values()].reduce((sum, n) => sum + n));
  assert.ok(backup.size > 0 && backup.plainBytes > backup.size, `size ${backup.size}, plainBytes ${backup.plainBytes}`);
  assert.match(backup.checksum, /[0-9a-f]{64}/);
  assert.ok(backup.duration > 0);
  assert.deepEqual(backup.destinations.map(({ name }) => name).sort(), ['local', 'remote']);
  for (const { name, status, bytes, verified } of backup.destinations) {
    assert.equal(status, 'committed', name);
    assert.equal(verified, 'read', name);
    assert.ok(bytes >= backup.size, `${name}: ${bytes} bytes`);
  }
});

test('both copies hold the same bytes', async () => {
  // The records of runs are each destination's own.
  const shared = (files) => new Map([...files].filter(([path]) => !path.startsWith('runs/')));
  const local = shared(filesIn(made.local));
  assert.ok(local.has(`${made.backup.id}/manifest.json`));
  assertSameBytes(shared(await objectsIn(made.remote)), local, 'remote and local');
});

test('every record is a line of its data file', () => {
  const records = recordsIn(made.files);
  const counts = new Map();
  for (const [resource, bytes] of records) {
    const lines = bytes.toString().split('\n');
    assert.equal(lines.pop(), '', `${resource} ends in a newline`);
    for (const line of lines) assert.equal(typeof JSON.parse(line), 'object', `${resource}: ${line}`);
    counts.set(resource, lines.length);
  }
  assert.deepEqual(Object.fromEntries([...counts].sort()), Object.fromEntries([...inSource].sort()));
});

test('gzip, Python and Node read the same bytes', () => {
  const files = dataFiles(made.files);
  assert.ok(files.length > 0);
  for (const { path } of files) {
    const byGzip = run('gzip', ['-dc', path]);
    const byPython = run('python3', ['-c', 'import gzip, shutil, sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)', path]);
    assert.equal(byGzip.code, 0, `gzip: ${path}: ${byGzip.stderr}`);
    assert.equal(byPython.code, 0, `Python: ${path}: ${byPython.stderr}`);
    assert.ok(byPython.stdout.equals(byGzip.stdout), `Python: ${path}`);
    assert.ok(gunzipSync(readFileSync(path)).equals(byGzip.stdout), `Node: ${path}`);
  }
});
