// Databases at prefixes, and with resources and ids, of any characters that s3db.js lets through.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { assertSameDatabase, bucket, folder, report, teeline } from './harness.mjs';
import { random, seed } from './kit.mjs';

const names = [
  'with space', 'ação', 'e\u0301', '\u00e9', '日本', '😀', 'a"b', "it's", 'a+b&c?d#e', '[glob]*?', '..b', '.hidden', 'UPPER', 'upper', 'x'.repeat(150),
  '_objects', '_database', 'manifest', 'run', 'runs', 'catalog', 's3db.json', 'teeline', '~0002', 'a', 'a~0002', 'con',
];
const behaviors = ['user-managed', 'body-overflow', 'body-only', 'truncate-data', 'enforce-limits'];
const { text } = random(8);
const ids = ['é#?&+', '日本 😀', ' lead', "it's \"quoted\""];
const docs = () => ids.map((id, rank) => ({ id, rank, title: text(3) }));

/** A resource of each name, of all behaviours, some with former versions of records and of the schema. */
const resources = names.map((name, i) => ({
  name, behavior: behaviors[i % behaviors.length], timestamps: i % 3 === 0, versioningEnabled: i % 4 === 0,
  partitions: i % 2 ? { byTitle: { fields: { title: 'string|maxlength:5' } } } : {},
  versions: [
    { attributes: { title: 'string', rank: 'number' }, docs: docs(), updates: [[ids[0], { rank: 9 }]], deletes: [ids[1]] },
    ...(i % 4 === 0 ? [{ attributes: { title: 'string', rank: 'string', extra: 'string|optional' }, docs: [{ id: 'new', title: 'of the second version', rank: 'first' }], updates: [[ids[2], { title: 'updated' }]] }] : []),
  ],
}));

/** The connection string of a database at a prefix, in a new bucket. */
const at = async (prefix) => `${await bucket('names')}/${prefix}?forcePathStyle=true`;

let source;
before(async () => {
  source = await at('deep prefix/ação "x"/%20');
  await seed(source, resources, join(folder('names'), 'expected.jsonl'));
});

test('resources and records of any names come back, from and to prefixes of any names', async () => {
  const local = folder('names-local');
  const remote = `${await bucket('names')}/copy`;
  const { id } = report(0, 'backup', 'full', '--connection', source, '--to', `local=${local}`, '--to', `remote=${remote}`);
  report(0, 'verify', id, '--at', `local=${local}`, '--at', `remote=${remote}`);
  const { resources: described } = report(0, 'status', id, '--at', local);
  assert.deepEqual(described.map(({ name, files }) => [name, files.length]).sort(), [...names, '_objects'].map((name) => [name, 1]).sort());

  const target = await at('other/prefix of ü');
  teeline(0, 'restore', id, '--at', remote, '--target', target);
  assertSameDatabase(target, source);
});
