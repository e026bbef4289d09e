// The round trips of the other seeded database, and of a larger one: through gzip and none, from the folder and from the bucket, in
// segments, and by a manifest made again.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { assertSameBytes, assertSameDatabase, backUp, database, folder, recordsIn, removeObject, report, sources, teeline } from './harness.mjs';
import { random, seed } from './kit.mjs';

/** A database in which every resource is larger than a segment, compressed as well, and so is what is no record. */
async function seedLarge() {
  const url = await database('large');
  const { pick } = random(3);
  const noise = (length) => Array.from({ length }, () => pick('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789')).join('');
  const docs = (count, bytes) => Array.from({ length: count }, (_, rank) => ({ id: `d${rank}`, rank, text: noise(bytes) }));
  const attributes = { rank: 'number', text: 'string' };
  const images = docs(15, 20);
  // The larger ones are kept beside the records, the others in them.
  const contents = Object.fromEntries(images.map(({ id, rank }) => [id, { content: Buffer.from(noise(rank < 10 ? 200_000 : 400_000)), contentType: 'image/png' }]));
  await seed(url, [
    { name: 'cards', behavior: 'user-managed', versions: [{ attributes, docs: docs(900, 1800) }] },
    { name: 'pages', behavior: 'body-only', timestamps: true, versions: [{ attributes, docs: docs(30, 60_000) }] },
    { name: 'overflows', behavior: 'body-overflow', versions: [{ attributes, docs: docs(30, 60_000) }] },
    { name: 'images', behavior: 'user-managed', versions: [{ attributes, docs: images, contents }] },
  ], join(folder('large'), 'expected.jsonl'));
  return url;
}

const urls = { second: sources.second.url };
const made = { gzip: {}, none: {} };
before(async () => {
  urls.large = await seedLarge();
  for (const compression of Object.keys(made)) {
    for (const [name, url] of Object.entries(urls)) {
      made[compression][name] = await backUp(`${name}-${compression}`, url, '--compression', compression, '--segment-bytes', '1MiB', '--block-bytes', '64KiB');
    }
  }
});

async function restoredFrom(at) {
  const target = await database('variants');
  teeline(0, 'restore', 'latest', '--at', at, '--target', target);
  return target;
}

for (const [compression, backups] of Object.entries(made)) {
  test(`with ${compression}, large resources have segments, of which none is larger than was asked for`, () => {
    const { resources, objects } = JSON.parse(readFileSync(join(backups.large.files, 'manifest.json')));
    for (const { name, segments } of [...resources, { name: '_objects', ...objects }]) {
      assert.ok(segments.length >= 2, `${name}: ${segments.length}`);
      for (const { file, storedBytes } of segments) {
        assert.ok(storedBytes <= 2 ** 20, `${file}: ${storedBytes}`);
        assert.equal(statSync(join(backups.large.files, file)).size, storedBytes, file);
      }
    }
  });

  for (const name of ['second', 'large']) {
    test(`with ${compression}, ${name} comes back from the folder and from the bucket`, async () => {
      for (const at of [backups[name].local, backups[name].remote]) assertSameDatabase(await restoredFrom(at), urls[name]);
    });
  }

  test(`with ${compression} and segments, a manifest is made again, and the database comes back by it`, async () => {
    const { backup, local, remote, files } = backups.large;
    const whole = readFileSync(join(files, 'manifest.json'));
    rmSync(join(files, 'manifest.json'));
    await removeObject(`${remote}/${backup.id}/manifest.json`);
    const { runs } = report(0, 'repair', backup.id, '--rebuild-manifest', '--at', local, '--at', remote);
    assert.deepEqual(runs[0].destinations.map(({ status }) => status), ['reconstructed', 'reconstructed']);
    assert.ok(readFileSync(join(files, 'manifest.json')).equals(whole));
    assertSameDatabase(await restoredFrom(remote), urls.large);
  });
}

test('the lines are the same with gzip and none', () => {
  for (const name of Object.keys(urls)) assertSameBytes(recordsIn(made.none[name].files), recordsIn(made.gzip[name].files), name);
});
