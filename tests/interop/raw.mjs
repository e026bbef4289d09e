// Prints every object below a database's prefix, byte for byte: sorted JSON lines {key, metadata, contentType, size, sha256}.
// What a server sets itself, times and ETags, is left out, so that a database and its restored copy print the same.
// usage: node raw.mjs URL
import { createHash } from 'node:crypto';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { by, each, keys, place } from './kit.mjs';

const database = place(process.argv[2]);
const objects = (await keys(database)).map((key) => ({ key }));
await each(objects, async (object) => {
  const { Metadata, ContentType, Body } = await database.s3.send(new GetObjectCommand({ Bucket: database.bucket, Key: database.prefix + object.key }));
  const body = await Body.transformToByteArray();
  object.metadata = Object.fromEntries(Object.entries(Metadata).sort(by((e) => e[0])));
  object.contentType = ContentType;
  object.size = body.length;
  object.sha256 = createHash('sha256').update(body).digest('hex');
});
for (const object of objects) process.stdout.write(`${JSON.stringify(object)}\n`);
