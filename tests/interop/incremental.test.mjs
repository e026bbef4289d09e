// Incremental backups of a database that s3db.js changes: what is restored is what it is, to s3db.js and byte for byte.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bucket, folder, print, report, teeline } from './harness.mjs';
import { open } from './kit.mjs';

const RECORDS = 60;

let url;
let local;
let db;
let full;

const order = (n, text = 'as it was') => ({ id: `id-${n}`, area: `area-${n % 5}`, text });

before(async () => {
  url = `${await bucket('incremental')}/db?forcePathStyle=true`;
  local = folder('incremental-local');
  db = await open(url);
  const orders = await db.createResource({
    name: 'orders',
    behavior: 'body-overflow',
    attributes: { area: 'string|required', text: 'string|required' },
    partitions: { byArea: { fields: { area: 'string' } } },
    asyncPartitions: false,
  });
  for (let n = 0; n < RECORDS; n += 1) await orders.insert(order(n, n % 10 === 0 ? 'long '.repeat(900) : 'short'));
  full = backUp('full');
});
after(() => db.disconnect());

const backUp = (type, ...args) => report(0, 'backup', type, '--connection', url, '--to', `local=${local}`, ...args);

/** Restores a backup to a new place, which must be the database as it is; from there s3db.js goes on. */
async function assertRestoresAsItIs(id) {
  teeline(0, 'verify', id, '--deep', '--at', local);
  const target = `${await bucket('incremental-back')}/db?forcePathStyle=true`;
  const { restored } = report(0, 'restore', id, '--at', local, '--target', target);
  assert.ok(restored.length > 0);
  assert.deepEqual(print('raw.mjs', target), print('raw.mjs', url));
  assert.deepEqual(print('dump.mjs', target, '--index'), print('dump.mjs', url, '--index'));
}

test('a link has what s3db.js inserted, updated and deleted', async () => {
  const { orders } = db.resources;
  await orders.insert(order(RECORDS));
  await orders.update('id-3', { area: 'area-9', text: 'moved' });
  await orders.update('id-10', { text: 'no longer long' });
  await orders.delete('id-20');
  const link = backUp('incremental');
  assert.equal(link.parent.id, full.id);
  const { records } = link.changes;
  assert.equal(records.created, 1);
  assert.equal(records.deleted, 1);
  assert.equal(records.created + records.changed + records.unchanged, RECORDS);
  assert.equal(link.recordCount, RECORDS);
  await assertRestoresAsItIs(link.id);
});

test('a schema that changes, and a resource that is new, come with the next link', async () => {
  const other = await open(url);
  const orders = await other.createResource({
    name: 'orders',
    behavior: 'body-overflow',
    attributes: { area: 'string|required', text: 'string|required', note: 'string|optional' },
    partitions: { byArea: { fields: { area: 'string' } } },
    asyncPartitions: false,
  });
  await orders.insert({ ...order(RECORDS + 1), note: 'of the new version' });
  const notes = await other.createResource({ name: 'notes', attributes: { text: 'string' } });
  await notes.insert({ id: 'first', text: 'of a resource that is new' });
  await other.disconnect();
  const link = backUp('incremental');
  assert.ok(link.parent);
  await assertRestoresAsItIs(link.id);
});

test('a full backup is made of the chain, and the next link goes on from it', async () => {
  const [{ id }] = report(0, 'list', '--at', local).backups;
  const whole = report(0, 'consolidate', id, '--at', local);
  assert.equal(whole.parent, null);
  await assertRestoresAsItIs(whole.id);
  report(0, 'delete', full.id, '--cascade', '--at', local);
  await assertRestoresAsItIs(whole.id);
  const other = await open(url);
  await other.resources.notes.update('first', { text: 'another' });
  await other.disconnect();
  const next = backUp('incremental');
  assert.equal(next.parent.id, whole.id);
  await assertRestoresAsItIs(next.id);
});
