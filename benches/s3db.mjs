// s3db.js's part of s3db.sh: inserts or reads records by its fastest calls, and prints {records, seconds, cpu_seconds}.
// usage: s3db.mjs insert|read URL RECORDS
//
// They are insert() and get(), 64 at a time. insertMany(), getMany() and getAll() take more processor time for each record.
import { each, open, random } from '../tests/interop/kit.mjs';

const AT_ONCE = 64;
const [what, url, count] = process.argv.slice(2);
const { text } = random(1);
const id = (index) => `bulk-${String(index).padStart(6, '0')}`;
const documents = Array.from({ length: Number(count) }, (_, index) => ({
  id: id(index), index, label: text(4), half: index % 5 ? 'big' : 'small', ratio: index / 7,
}));

const db = await open(url);
const attributes = { index: 'number|integer:true', label: 'string', half: 'string', ratio: 'number' };
const resource = await db.createResource({ name: 'bulk', behavior: 'user-managed', asyncPartitions: false, attributes });

const begun = process.hrtime.bigint();
const before = process.cpuUsage();
if (what === 'insert') await each(documents, (document) => resource.insert(document), AT_ONCE);
else await each(documents, async ({ id }) => { if ((await resource.get(id)).id !== id) throw new Error(`${id} isn't there`); }, AT_ONCE);
const { user, system } = process.cpuUsage(before);
const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
await db.disconnect();
console.log(JSON.stringify({ records: documents.length, seconds, cpu_seconds: (user + system) / 1e6 }));
