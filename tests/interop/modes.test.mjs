// What each way to restore into a database does to one that is there already, as s3db.js then reads it; and that a dry run says so before.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { assertSameDatabase, backUp, database, print, report, run } from './harness.mjs';
import { each, ids, keys, open, place } from './kit.mjs';

const people = ['ana', 'bia', 'caio', 'davi'].map((id, age) => ({ id, name: `${id} da Silva`, age, team: age % 2 ? 'red' : 'blue' }));
const tasks = ['sweep', 'wash'].map((id) => ({ id, title: `${id} the floor` }));
const [ana, bia, caio, davi] = people;
const otherBia = { ...bia, name: 'Bia Souza', team: 'blue' };
const zoe = { id: 'zoe', name: 'Zoe', age: 9, team: 'red' };
const byId = (...docs) => Object.fromEntries(docs.map((doc) => [doc.id, doc]));

let source;
let made;
before(async () => {
  source = await database('modes');
  const db = await open(source);
  const partitions = { byTeam: { fields: { team: 'string' } } };
  const attributes = { name: 'string', age: 'number', team: 'string' };
  const resources = {
    people: await db.createResource({ name: 'people', attributes, partitions, asyncPartitions: false }),
    tasks: await db.createResource({ name: 'tasks', attributes: { title: 'string' } }),
  };
  await each(people, (doc) => resources.people.insert(doc));
  await each(tasks, (doc) => resources.tasks.insert(doc));
  await db.disconnect();
  made = await backUp('modes', source);
});

const command = (target, options) => ['restore', made.backup.id, '--at', made.local, '--target', target, ...options];

/** Restores, after a dry run, which must have written nothing and said the same: by resource, what was created, replaced, left and deleted. */
function restore(target, ...options) {
  const inside = print('raw.mjs', target);
  const planned = report(0, ...command(target, options), '--dry-run');
  assert.deepEqual(print('raw.mjs', target), inside);
  const done = report(0, ...command(target, options));
  assert.deepEqual([planned.status, done.status], ['dry-run', 'completed']);
  assert.deepEqual([planned.restored, planned.objects], [done.restored, done.objects]);
  return Object.fromEntries(done.restored.map(({ name, created, replaced, left, deleted }) => [name, [created, replaced, left, deleted]]));
}

/** A database restored from the backup, in which people then changed: bia is called otherwise and in another team, caio is gone, zoe is new. */
async function changed() {
  const url = await database('changed');
  report(0, ...command(url, []));
  const db = await open(url);
  const { people: resource } = db.resources;
  resource.config.asyncPartitions = false;
  await resource.update(bia.id, { name: otherBia.name, team: otherBia.team });
  await resource.delete(caio.id);
  await resource.insert(zoe);
  await db.disconnect();
  return url;
}

/** What s3db.js reads in a database, less what it adds: resource -> id -> document. */
async function held(url) {
  const db = await open(url);
  const found = {};
  for (const [name, resource] of Object.entries(db.resources)) {
    found[name] = {};
    await each(await ids(db, name), async (id) => {
      found[name][id] = Object.fromEntries(Object.entries(await resource.get(id)).filter(([key]) => !key.startsWith('_')));
    });
  }
  await db.disconnect();
  return found;
}

/** The entries of a partition of teams: [team, id]. */
const entries = async (url, resource) => (await keys(place(url))).flatMap((key) => {
  const entry = new RegExp(`^resource=${resource}/partition=byTeam/team=(.*)/id=(.*)$`).exec(key);
  return entry ? [entry.slice(1)] : [];
});

test('merge: what is in the backup is as in the backup, and the rest stays', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--mode', 'merge'), { people: [1, 1, 2, 0], tasks: [0, 0, 2, 0] });
  assert.deepEqual(await held(target), { people: byId(...people, zoe), tasks: byId(...tasks) });
  assert.deepEqual(await entries(target, 'people'), [['blue', 'ana'], ['blue', 'caio'], ['red', 'bia'], ['red', 'davi'], ['red', 'zoe']]);
});

test('overwrite is merge', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--overwrite'), { people: [1, 1, 2, 0], tasks: [0, 0, 2, 0] });
  assert.deepEqual(await held(target), { people: byId(...people, zoe), tasks: byId(...tasks) });
});

test('skip-existing: what is there stays as it is, and the rest comes from the backup', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--mode', 'skip-existing'), { people: [1, 0, 3, 0], tasks: [0, 0, 2, 0] });
  assert.deepEqual(await held(target), { people: byId(ana, otherBia, caio, davi, zoe), tasks: byId(...tasks) });
  assert.deepEqual(await entries(target, 'people'), [['blue', 'ana'], ['blue', 'bia'], ['blue', 'caio'], ['red', 'davi'], ['red', 'zoe']]);
});

test('replace: the database is the one that was backed up', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--mode', 'replace'), { people: [1, 1, 2, 1], tasks: [0, 0, 2, 0] });
  assertSameDatabase(target, source);
});

test('ids: only these records, and their entries in partitions', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--resources', 'people', '--ids', 'caio,ana', '--mode', 'merge'), { people: [1, 0, 1, 0] });
  assert.deepEqual(await held(target), { people: byId(ana, otherBia, caio, davi, zoe), tasks: byId(...tasks) });
  assert.deepEqual(await entries(target, 'people'), [['blue', 'ana'], ['blue', 'bia'], ['blue', 'caio'], ['red', 'davi'], ['red', 'zoe']]);
});

test('ids: one that the backup lacks is an error, and nothing is written', async () => {
  const target = await changed();
  const inside = print('raw.mjs', target);
  const { code, stderr } = run(process.env.TEELINE, command(target, ['--ids', 'caio,nobody', '--mode', 'merge']));
  assert.ok(code === 1 || code === 2, `exit code ${code}`);
  assert.match(stderr.toString(), /nobody/);
  assert.deepEqual(print('raw.mjs', target), inside);
});

test('rename: the resource, its partition and its schema are there under another name', async () => {
  const target = await changed();
  assert.deepEqual(restore(target, '--rename', 'people=folk', '--resources', 'people', '--mode', 'merge'), { people: [4, 0, 0, 0] });
  assert.deepEqual(await held(target), { people: byId(ana, otherBia, davi, zoe), folk: byId(...people), tasks: byId(...tasks) });
  assert.deepEqual(await entries(target, 'folk'), [['blue', 'ana'], ['blue', 'caio'], ['red', 'bia'], ['red', 'davi']]);

  const db = await open(target);
  const red = await db.resources.folk.listIds({ partition: 'byTeam', partitionValues: { team: 'red' } });
  await db.disconnect();
  assert.deepEqual(red.sort(), ['bia', 'davi']);
});
