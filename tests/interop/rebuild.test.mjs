// Manifests lost and made again, at a folder and in a bucket; the tests run in this order.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { assertSameBytes, assertSameDatabase, backUp, database, filesIn, objectsIn, removeObject, report, sources, teeline } from './harness.mjs';

let made;
let both;
let whole;
before(async () => {
  made = await backUp('rebuild', sources.second.url);
  both = ['--at', `local=${made.local}`, '--at', `remote=${made.remote}`];
  whole = { local: filesIn(made.local), remote: await objectsIn(made.remote) };
});

const loseLocal = (file) => rmSync(join(made.files, file));
const loseRemote = (file) => removeObject(`${made.remote}/${made.backup.id}/${file}`);

/** What marks a backup as published: where it is, a listing doesn't ask for the manifest. */
const isMarker = (path) => path.startsWith('catalog/') && path.includes('.published/');

function loseLocalManifest() {
  loseLocal('manifest.json');
  for (const path of [...filesIn(made.local).keys()].filter(isMarker)) rmSync(join(made.local, path));
}

async function loseRemoteManifest() {
  await loseRemote('manifest.json');
  for (const path of [...(await objectsIn(made.remote)).keys()].filter(isMarker)) await removeObject(`${made.remote}/${path}`);
}

/** Repairs both copies, with this exit code: what became of each. */
function rebuild(code) {
  const { runs } = report(code, 'repair', made.backup.id, '--rebuild-manifest', ...both);
  assert.deepEqual(runs.map(({ id }) => id), [made.backup.id]);
  return runs[0].destinations;
}

function assertListedAsLost(...places) {
  const { backups, errors } = report(13, 'list', ...places);
  assert.deepEqual(backups, []);
  for (const { error } of errors) assert.match(error.suggestion, /repair .* --rebuild-manifest/);
}

/** All but what checks have noted, which each of them adds to. */
const withoutChecks = (files) => new Map([...files].filter(([path]) => !path.startsWith('verifications/')));

async function assertAsBefore() {
  assertSameBytes(withoutChecks(filesIn(made.local)), whole.local, 'local, now and before');
  assertSameBytes(withoutChecks(await objectsIn(made.remote)), whole.remote, 'remote, now and before');
}

test('manifests lost at both copies are made again, byte for byte', async () => {
  loseLocalManifest();
  await loseRemoteManifest();
  assertListedAsLost(...both);
  for (const { name, status, checksum } of rebuild(0)) {
    assert.equal(status, 'reconstructed', name);
    assert.equal(checksum, made.backup.checksum, name);
  }
  await assertAsBefore();
  teeline(0, 'verify', made.backup.id, ...both);
});

test('a manifest lost at one copy is taken from the other', async () => {
  await loseRemoteManifest();
  assert.deepEqual(rebuild(0).map(({ status }) => status), ['whole', 'copied']);
  await assertAsBefore();
});

test('a database restored from a copy with its manifest made again is the one that was backed up', async () => {
  const target = await database('rebuilt');
  teeline(0, 'restore', 'latest', '--at', made.remote, '--target', target);
  assertSameDatabase(target, sources.second.url);
});

test('without one index there is no manifest', async () => {
  await loseRemoteManifest();
  await loseRemote('bulk.index');
  loseLocalManifest();
  const [local, remote] = rebuild(13);
  assert.equal(local.status, 'reconstructed');
  assert.equal(remote.status, 'refused');
  assert.deepEqual(remote.missing, [{ file: `${made.backup.id}/bulk.index`, resource: 'bulk', lastIndex: true }]);
  assertListedAsLost('--at', made.remote);
});
