// The real ImporterPlugin reads a data file of a backup into a new resource, as s3db.js's manual does with what its BackupPlugin leaves.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ImporterPlugin } from 's3db.js/plugins/importer/index';
import { backUp, dataFiles, database } from './harness.mjs';
import { each, ids, open, random } from './kit.mjs';

const attributes = {
  title: 'string', pages: 'number|integer:true', price: 'number', stocked: 'boolean', printedAt: 'datetime',
  tags: 'array|items:string', sizes: 'array|items:number', author: { name: 'string', born: { year: 'number', place: 'string' } },
};
const { int, next, text, word } = random(27);
const books = Array.from({ length: 300 }, (_, i) => ({
  id: `book ${i} ação`, title: text(6), pages: int(1, 2000), price: int(-500, 9999) / 100, stocked: next() < 0.5, printedAt: new Date(int(0, 2e12)).toISOString(),
  tags: [word(), `日本 ${word()}`], sizes: [int(1, 99), int(1, 99) / 4], author: { name: text(2), born: { year: int(1500, 2000), place: 'São Paulo' } },
}));
const changed = { pages: 7 };

/** A document less what s3db.js adds. */
const own = (document) => Object.fromEntries(Object.entries(document).filter(([name]) => !name.startsWith('_')));

let from;
let to;
let data;
before(async () => {
  const url = await database('library');
  from = await open(url);
  const resource = await from.createResource({ name: 'books', attributes, behavior: 'body-overflow' });
  await each(books, (book) => resource.insert(book));
  await resource.update(books[0].id, changed); // its line has a `_s3db`, which the importer must not trip over
  const { files } = await backUp('importer', url, '--block-bytes', '4KiB'); // many gzip members
  [{ path: data }] = dataFiles(files);
  to = await open(await database('imported'));
});
after(() => Promise.all([from, to].map((db) => db?.disconnect())));

test('the importer takes in every record of a data file, as it was', async () => {
  const resource = await to.createResource({ name: 'books', attributes, behavior: 'body-overflow' });
  const importer = new ImporterPlugin({ resource: 'books', format: 'jsonl', logLevel: 'error' });
  await to.usePlugin(importer, 'importer');
  const { processed, inserted, errors } = await importer.import(data);
  assert.deepEqual({ processed, inserted, errors }, { processed: books.length, inserted: books.length, errors: 0 });

  assert.deepEqual((await ids(to, 'books')).sort(), books.map(({ id }) => id).sort());
  await each(books, async (book) => {
    const documents = await Promise.all([from.resources.books, resource].map(async (at) => own(await at.get(book.id))));
    const expected = book === books[0] ? { ...book, ...changed } : book;
    assert.deepEqual(documents, [expected, expected]);
  });
});
