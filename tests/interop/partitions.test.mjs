// Backups of partitions: the records that s3db.js has in them, with every entry that it made for these, and of a query.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { backUp, database, documentsIn, report, run } from './harness.mjs';
import { by, each, ids, keys, open, place } from './kit.mjs';

const binary = process.env.TEELINE;
const regions = ['US', 'EU', 'BR', 'a/b', 'x=y/z', 'São Paulo 100%+', 'a', 'q/../US', '日本'];
const attributes = {
  region: 'string', status: 'string|optional', total: 'number', paid: 'boolean', code: 'string', orderedAt: 'datetime',
  day: 'dateonly', address: { city: 'string', zone: 'string|optional' },
};
const partitions = {
  byRegion: { fields: { region: 'string' } },
  byStatus: { fields: { status: 'string' } },
  byCode: { fields: { code: 'string|maxlength:3' } },
  byDay: { fields: { orderedAt: 'date|maxlength:10' } },
  byDayOnly: { fields: { day: 'date' } },
  byCity: { fields: { 'address.city': 'string' } },
  byMoney: { fields: { total: 'number', paid: 'boolean' } },
  byPlace: { fields: { region: 'string', 'address.zone': 'string', Status: 'string' } },
};
attributes.Status = 'string';
const order = (number) => ({
  id: `order-${String(number).padStart(3, '0')}`, region: regions[number % regions.length], ...(number % 5 ? { status: ['active', 'done', 'São'][number % 3] } : {}),
  total: number / 4, paid: number % 2 === 0, code: ['wlgton', 'é€x', 'ab', '日本語です'][number % 4], Status: 'S', day: '2024-02-29',
  orderedAt: `2026-11-${10 + (number % 9)}T0${number % 10}:00:00.000Z`, address: { city: ['Bonn', 'São Paulo'][number % 2], ...(number % 3 ? { zone: 'n' } : {}) },
});

let source;
let orders; // as s3db.js reads them: id -> document
before(async () => {
  source = await database('partitions');
  const db = await open(source);
  const options = { attributes, partitions, timestamps: true, asyncPartitions: false, behavior: 'body-overflow' };
  const resource = await db.createResource({ name: 'orders', ...options });
  const notes = await db.createResource({ name: 'notes', attributes: { text: 'string' } });
  await notes.insert({ id: 'note', text: 'no partition' });
  await each([...Array(120).keys()].map(order), (doc) => resource.insert(doc), 8);
  // Some move to another partition, and their entries with them.
  await each([0, 9, 18], (number) => resource.update(order(number).id, { region: 'BR' }), 1);
  await each([1, 10], (number) => resource.update(order(number).id, { region: 'US', total: 9999 }), 1);
  // Some entries are left behind, as by a crash: their records are gone.
  const at = place(source);
  const lost = await keys(at);
  await each(lost.filter((key) => /data\/id=order-02[079]$/.test(key)), (key) => at.s3.send(new DeleteObjectCommand({ Bucket: at.bucket, Key: at.prefix + key })));
  orders = new Map();
  await each(await ids(db, 'orders'), async (id) => orders.set(id, await resource.get(id)));
  await db.disconnect();
});

const those = (wanted) => [...orders].filter(([, doc]) => wanted(doc)).map(([id]) => id).sort();
const backedUp = async (...options) => {
  const made = await backUp('partitions', source, ...options);
  return { ...made, ids: documentsIn(made.files).filter(({ resource }) => resource === 'orders').map(({ document }) => document.id).sort() };
};
/** The entries of orders that a database has, of these ids. */
const entriesOf = async (url, wanted) => (await keys(place(url))).filter((key) => key.startsWith('resource=orders/partition=') && wanted.has(/\/id=([^/]*)$/.exec(key)[1]));

test('each value of a partition, whatever characters it has', async () => {
  for (const region of regions) {
    const { ids: found } = await backedUp('--partition', `byRegion=${region}`);
    assert.deepEqual(found, those((doc) => doc.region === region), region);
  }
});

test('values of one partition join, and partitions intersect', async () => {
  const made = await backedUp('--partition', 'byRegion=US,EU', '--partition', 'byStatus=active');
  const expected = those((doc) => ['US', 'EU'].includes(doc.region) && doc.status === 'active');
  assert.ok(expected.length > 3);
  assert.deepEqual(made.ids, expected);
  assert.deepEqual(made.backup.resources, ['orders']);
});

test('partitions by a day, a cut text, a nested field, a number, and several fields', async () => {
  for (const [typed, wanted] of [
    ['byDay=2026-11-12', (doc) => doc.orderedAt.startsWith('2026-11-12')],
    ['byDay=2026-11-12T23:00:00.000Z', (doc) => doc.orderedAt.startsWith('2026-11-12')],
    ['byCode=wlg', (doc) => doc.code === 'wlgton'],
    ['byCity=São Paulo', (doc) => doc.address.city === 'São Paulo'],
    ['byMoney=[{"total":3.5,"paid":true}]', (doc) => doc.total === 3.5 && doc.paid],
    ['byMoney=[{"paid":false}]', (doc) => !doc.paid],
    ['byPlace=[{"region":"EU","address.zone":"n"}]', (doc) => doc.region === 'EU' && doc.address.zone === 'n'],
    [`byCreatedDate=${new Date().toISOString().slice(0, 10)}`, () => true],
  ]) {
    const expected = those(wanted);
    assert.ok(expected.length > 0, typed);
    assert.deepEqual((await backedUp('--partition', typed)).ids, expected, typed);
  }
});

test('restored, s3db.js finds the records by all of their partitions', async () => {
  const made = await backedUp('--partition', 'byRegion=US,x=y/z');
  const url = await database('restored');
  const restored = report(0, 'restore', made.backup.id, '--at', made.local, '--target', url);
  assert.deepEqual(restored.inPart, { partitions: { byRegion: ['US', 'x=y/z'] } });
  const wanted = new Set(made.ids);
  // Whatever entry s3db.js has made of them, but those that it left behind when they moved.
  const left = (key) => /byRegion\/region=([^/]*)\/id=(.*)$/.test(key) && orders.get(RegExp.$2).region !== RegExp.$1 && !orders.get(RegExp.$2).region.includes('/');
  assert.deepEqual((await entriesOf(url, wanted)).sort(by((key) => key)), (await entriesOf(source, wanted)).filter((key) => !left(key)).sort(by((key) => key)));
  const db = await open(url);
  const { orders: resource } = db.resources;
  const listed = await resource.list({ partition: 'byRegion', partitionValues: { region: 'US' }, limit: 200 });
  assert.deepEqual(listed.map(({ id }) => id).sort(), those((doc) => doc.region === 'US'));
  await each(made.ids, async (id) => {
    const { _lastModified, _etag, ...doc } = await resource.get(id);
    const { _lastModified: a, _etag: b, ...original } = orders.get(id);
    assert.deepEqual(doc, original);
  });
  await db.disconnect();
  assert.equal(run(binary, ['restore', made.backup.id, '--at', made.local, '--target', url, '--mode', 'replace']).code, 2);
});

test('a query asks for values, of one resource; of others everything is taken', async () => {
  const made = await backedUp('--where', 'orders.address.city=Bonn', '--where', 'orders.status=active', '--where', 'orders.status=done');
  assert.deepEqual(made.ids, those((doc) => doc.address.city === 'Bonn' && ['active', 'done'].includes(doc.status)));
  assert.deepEqual(made.backup.resources, ['orders', 'notes']);
  const numbers = await backedUp('--where', 'orders.total=3.5', '--where', 'orders.paid=true');
  assert.deepEqual(numbers.ids, those((doc) => doc.total === 3.5 && doc.paid));
});

test('what no partition says is refused', () => {
  const refused = run(binary, ['backup', '--connection', source, '--to', './never', '--partition', 'byRegio=US', '--json']);
  assert.equal(refused.code, 2);
  const { error } = JSON.parse(refused.stdout);
  assert.match(error.message, /byRegion, byStatus.*\(of orders\)/);
});
