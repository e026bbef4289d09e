// A backup restored: into a database that s3db.js can't tell from the source, into a folder, and not over what is there.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { CopyObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { assertSameBytes, assertSameDatabase, backUp, bucket, database, folder, print, recordsIn, restoredIn, run, source, teeline } from './harness.mjs';
import { place } from './kit.mjs';

let made;
before(async () => {
  made = await backUp('restore');
});

test('a restored database is the source, byte for byte and to s3db.js', async () => {
  const target = await database('restored');
  teeline(0, 'restore', 'latest', '--at', made.local, '--target', target);
  assertSameDatabase(target, source);
});

test('the remote copy restores into a folder', () => {
  const target = folder('restored');
  teeline(0, 'restore', made.backup.id, '--at', made.remote, '--target', target);
  assertSameBytes(restoredIn(target), recordsIn(made.files), 'restored and backed up');
});

test('a database that is not empty is left alone', async () => {
  const url = await bucket('occupied');
  const { s3, bucket: Bucket } = place(url);
  await s3.send(new CopyObjectCommand({ Bucket, Key: 's3db.json', CopySource: '/source/s3db.json' }));
  await s3.send(new PutObjectCommand({ Bucket, Key: 'resource=catalog/data/id=minimal', Body: '', Metadata: { 0: 'to be kept' } }));
  const held = print('raw.mjs', url);

  // This is usage to one reader and a failure to another; what counts is that it is refused.
  const { code, stderr } = run(process.env.TEELINE, ['restore', 'latest', '--at', made.local, '--target', `${url}?forcePathStyle=true`]);
  assert.ok(code === 1 || code === 2, `exit code ${code}\n${stderr}`);
  assert.deepEqual(print('raw.mjs', url), held);
});
