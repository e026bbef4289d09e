// Verification of a backup with two copies, before and after one of them is damaged; the tests run in this order.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { assertSameBytes, backUp, folder, listed, recordsIn, report, restoredIn, sources, teeline } from './harness.mjs';

let made;
let whole;
let local;
let both;
before(async () => {
  made = await backUp('verify', sources.second.url);
  whole = recordsIn(made.files);
  local = ['--at', `local=${made.local}`];
  both = [...local, '--at', `remote=${made.remote}`];
});

/** Every object in a JSON document that has a `resource` and a `chunk`, with the destination that it is about. */
function damages(value, destination) {
  if (value === null || typeof value !== 'object') return [];
  const here = value.destination ?? (Array.isArray(value) ? undefined : value.name) ?? destination;
  const own = 'resource' in value && 'chunk' in value ? [{ destination: here, resource: value.resource, chunk: value.chunk }] : [];
  return own.concat(Object.values(value).flatMap((inner) => damages(inner, here)));
}

test('the backup is listed at each copy', () => {
  assert.deepEqual(listed(made.local), [made.backup.id]);
  assert.deepEqual(listed(made.remote), [made.backup.id]);
});

test('both copies verify', () => {
  assert.deepEqual(damages(report(0, 'verify', 'latest', '--deep', ...both)), []);
});

test('a flipped byte is found and named', () => {
  const path = join(made.files, 'bulk.jsonl.gz');
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(path, bytes);
  assert.deepEqual(damages(report(13, 'verify', 'latest', ...both)), [{ destination: 'local', resource: 'bulk', chunk: 0 }]);
});

test('a restore avoids the damaged copy', () => {
  const target = folder('avoided');
  teeline(3, 'restore', 'latest', ...both, '--target', target);
  assertSameBytes(restoredIn(target), whole, 'restored and backed up');
});

test('a restore from the damaged copy alone fails', () => {
  teeline(13, 'restore', 'latest', ...local, '--target', folder('damaged'));
});
