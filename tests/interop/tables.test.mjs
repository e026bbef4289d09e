// What DuckDB and pandas make of data files, by the patterns of docs/howto/read-data-files.md as they stand there; and BigQuery's rules.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { backUp, database, dataFiles, documentsIn, report, run } from './harness.mjs';
import { each, open, random } from './kit.mjs';

const page = join(import.meta.dirname, '../../docs/howto/read-data-files.md');
const { int, next, pick, text, word } = random(4);
const noise = (length) => Array.from({ length }, () => pick('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789')).join('');

/** Text that looks like other types stays text. The first few fill a data file. */
const orders = Array.from({ length: 120 }, (_, i) => ({
  id: String(i).padStart(4, '0'), zip: String(int(0, 99999)).padStart(5, '0'), customer: `ação ${word()}`, quantity: int(-9, 9), amount: Math.round(next() * 1e8) / 1e4,
  paid: next() < 0.5, orderedAt: new Date(int(0, 2e12)).toISOString(), dueOn: new Date(int(0, 2e12)).toISOString().slice(0, 10), tags: [word(), `日本 ${word()}`],
  sizes: [int(1, 99), int(1, 99) / 4], address: { city: text(2), at: { floor: int(1, 30), lift: next() < 0.5 } }, text: noise(i < 5 ? 400_000 : 20), ...(i % 3 ? {} : { discount: int(1, 9) }),
}));
const schema = {
  zip: 'string', customer: 'string', quantity: 'number|integer:true', amount: 'number', paid: 'boolean', orderedAt: 'datetime', dueOn: 'dateonly', tags: 'array|items:string',
  sizes: 'array|items:number', address: { city: 'string', at: { floor: 'number', lift: 'boolean' } }, text: 'string', discount: 'number|optional',
};
const WIDTH = 60;
const sparse = Array.from({ length: 120 }, (_, i) => ({ id: `s${i}`, [`field${i % WIDTH}`]: i }));

let made;
let answers;
before(async () => {
  const url = await database('tables');
  const db = await open(url);
  const resources = [
    ['orders', schema, orders],
    ['sparse', Object.fromEntries(Array.from({ length: WIDTH }, (_, i) => [`field${i}`, 'number|optional'])), sparse],
    ['empty', { label: 'string' }, []],
  ];
  for (const [name, attributes, docs] of resources) {
    const resource = await db.createResource({ name, attributes, behavior: 'body-overflow' });
    await each(docs, (doc) => resource.insert(doc));
  }
  await db.resources.orders.update(orders[5].id, { paid: true }); // its line has a `_s3db`
  orders[5].paid = true;
  await db.disconnect();
  made = await backUp('tables', url, '--segment-bytes', '1MiB', '--block-bytes', '64KiB');
  const { code, stdout, stderr } = run('python3', [join(import.meta.dirname, 'tables.py'), page], { cwd: made.files });
  assert.equal(code, 0, `${stderr}`);
  answers = JSON.parse(stdout);
});

const nameOf = (path) => path.slice(made.files.length + 1);
const byId = (rows) => Object.fromEntries(rows.map((row) => [row.id, row]));
/** A row as the document it came from: without its null columns, and with times as s3db.js writes them. */
function document({ _s3db, ...row }) {
  const present = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
  return { ...present, orderedAt: new Date(row.orderedAt).toISOString() };
}

test('the resource has several data files', () => {
  assert.ok(dataFiles(made.files).filter(({ resource }) => resource === 'orders').length >= 2);
});

test('DuckDB reads one file', () => {
  const first = documentsIn(made.files).filter(({ resource }) => resource === 'orders').map(({ document: { id } }) => id);
  const rows = answers.duckdb[0].rows.map(({ id }) => id);
  assert.ok(rows.length > 0 && rows.length < orders.length, `${rows.length} rows`);
  assert.deepEqual(rows, first.slice(0, rows.length));
});

test('DuckDB reads all files of a resource, with types', () => {
  const { types, rows } = answers.duckdb[1];
  assert.deepEqual(byId(rows.map(document)), byId(orders));
  assert.deepEqual(types, {
    id: 'VARCHAR', zip: 'VARCHAR', customer: 'VARCHAR', quantity: 'HUGEINT', amount: 'DOUBLE', paid: 'BOOLEAN', orderedAt: 'TIMESTAMP WITH TIME ZONE', dueOn: 'DATE', tags: 'VARCHAR[]',
    sizes: 'DOUBLE[]', address: 'STRUCT(city VARCHAR, "at" STRUCT(floor BIGINT, lift BOOLEAN))', text: 'VARCHAR', discount: 'BIGINT',
  });
});

test('DuckDB reads the whole folder, and counts what the backup says', () => {
  const { resources } = report(0, 'status', made.backup.id, '--at', made.local);
  const counts = Object.fromEntries(resources.map(({ name, recordCount }) => [name, recordCount]));
  const found = {};
  for (const { file, records } of answers.duckdb[2].rows) {
    const { resource } = dataFiles(made.files).find(({ path }) => nameOf(path) === file);
    found[resource] = (found[resource] ?? 0) + records;
  }
  assert.deepEqual(found, { orders: counts.orders, sparse: counts.sparse });
  assert.deepEqual([counts.orders, counts.sparse, counts.empty], [orders.length, sparse.length, 0]);
});

test('pandas reads all files of a resource, with types', () => {
  const { types, rows } = answers.pandas;
  assert.deepEqual(byId(rows.map(document)), byId(orders));
  const { _s3db, ...own } = types;
  assert.deepEqual(own, {
    id: 'string', zip: 'string', customer: 'string', quantity: 'integer', amount: 'floating', paid: 'boolean', orderedAt: 'datetime64', dueOn: 'string', tags: 'mixed',
    sizes: 'mixed', address: 'mixed', text: 'string', discount: 'floating',
  });
});

const isColumnName = (name) => /^[A-Za-z_][A-Za-z0-9_]{0,299}$/.test(name) && !/^(_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER)/i.test(name);

/** What BigQuery would refuse of a value of a table, by its rules for newline-delimited JSON. */
function refused(value, path) {
  if (Array.isArray(value)) {
    const kinds = new Set(value.map((item) => (item === null ? 'null' : Array.isArray(item) ? 'array' : typeof item)));
    return [
      ...(kinds.has('null') || kinds.has('array') ? [`${path}: null or an array in an array`] : []),
      ...(kinds.size > 1 ? [`${path}: several types in an array`] : []),
      ...value.flatMap((item) => refused(item, path)),
    ];
  }
  if (value === null || typeof value !== 'object') return [];
  const names = Object.keys(value);
  return [
    ...names.filter((name) => !isColumnName(name)).map((name) => `${path}.${name}: its name`),
    ...(new Set(names.map((name) => name.toLowerCase())).size < names.length ? [`${path}: two names that differ by case only`] : []),
    ...names.flatMap((name) => refused(value[name], `${path}.${name}`)),
  ];
}

test('lines keep to what BigQuery takes', () => {
  const documents = documentsIn(made.files); // each line is a document by itself
  assert.equal(documents.length, orders.length + sparse.length);
  const faults = documents.flatMap(({ resource, document: { _s3db, ...document } }) => [
    ...refused({ ...document, ...(_s3db && { _s3db: 'as JSON' }) }, resource),
    ...(typeof document.id === 'string' ? [] : [`${resource}: id`]),
  ]);
  assert.deepEqual(faults, []);
  assert.ok(documents.some(({ document }) => document._s3db));
});
