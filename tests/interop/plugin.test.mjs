// What the real BackupPlugin leaves of a database of 1,500 records, and what `inspect-plugin` says of it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { BackupPlugin } from 's3db.js/plugins/backup.plugin';
import { database, filesIn, folder, recordsIn, report, teeline } from './harness.mjs';
import { each, ids, open } from './kit.mjs';

const RECORDS = 1500;
/** Where the plugin stops. */
const EXPORTED = 1000;

let url;
let db;
before(async () => {
  url = await database('plugin');
  db = await open(url);
  const partitions = { byGroup: { fields: { group: 'string' } } };
  const attributes = { label: 'string', group: 'string', rank: 'number' };
  const truth = await db.createResource({ name: 'truth', attributes, partitions, timestamps: true, asyncPartitions: false });
  await db.createResource({ name: 'nothing', attributes: { label: 'string' } });
  const docs = Array.from({ length: RECORDS }, (_, i) => ({ id: `t${String(i).padStart(5, '0')}`, label: `ação ${i}`, group: `g${i % 3}`, rank: i }));
  await each(docs, (doc) => truth.insert(doc));
});
after(() => db.disconnect());

let used = 0;
/** A backup by the plugin: the folder that it was given, its id, and its archive and manifest, which a path template has put further down. */
async function pluginBackup(options) {
  const root = folder('plugin');
  const path = join(root, '{year}', '{type}');
  const plugin = new BackupPlugin({
    driver: 'filesystem', config: { path, logLevel: 'error' }, include: ['truth', 'nothing'], tempDir: folder('plugin-temp'), logLevel: 'silent', ...options,
  });
  await db.usePlugin(plugin, `backup${++used}`);
  const { id } = await plugin.backup('full');
  assert.equal((await plugin.getBackupStatus(id)).status, 'completed', 'what the plugin thinks of it');
  const [archive, manifest] = ['.backup', '.manifest.json'].map((ends) => [...filesIn(root).keys()].find((file) => file.endsWith(`${id}${ends}`)));
  return { root, id, archive: join(root, archive), manifest: join(root, manifest) };
}

/** The report on one backup, which must exit with `code`. */
function inspected(code, path) {
  const { backups, ...rest } = report(code, 'inspect-plugin', path);
  assert.equal(backups.length, 1);
  return { ...rest, backup: backups[0] };
}

const kinds = (backup) => backup.findings.map(({ kind, resource }) => (resource ? `${resource}: ${kind}` : kind));

test('a completed backup of 1,500 records has 1,000 and gives back none', async () => {
  const { root, id, archive, manifest } = await pluginBackup({});
  const { backup, suggestion, errors } = inspected(13, root);
  assert.deepEqual(errors, []);
  assert.match(suggestion, /`teeline backup full /);
  assert.deepEqual([backup.id, backup.type, backup.status], [id, 'full', 'damaged']);
  assert.deepEqual([backup.recordCount, backup.recoverableRecords], [EXPORTED, 0]);
  assert.equal((await ids(db, 'truth')).length, RECORDS, 'the database has them');

  const { timestamp, ...claims } = JSON.parse(readFileSync(manifest, 'utf8'));
  assert.equal(backup.timestamp, timestamp);
  assert.deepEqual(backup.manifest, { file: manifest, compression: claims.compression, encrypted: claims.encrypted, resources: ['truth', 'nothing'] });

  const bytes = readFileSync(archive);
  const written = JSON.parse(gunzipSync(bytes));
  assert.deepEqual([backup.archive.file, backup.archive.size, backup.archive.form], [archive, bytes.length, 'gzip']);
  assert.deepEqual([backup.archive.version, backup.archive.created], [written.version, written.created]);
  const measured = written.files.map(({ name, size, content }) => ({
    name, declaredSize: size, size: content.length, replacedCharacters: content.split('\ufffd').length - 1,
  }));
  assert.deepEqual(backup.archive.files, measured);
  assert.deepEqual(measured.map(({ name }) => name), ['truth.jsonl.gz', 'nothing.jsonl.gz', 's3db.json']);
  assert.ok(measured[0].replacedCharacters > 1000);

  const [truth, nothing] = backup.resources;
  const described = JSON.parse(written.files[2].content).resources;
  assert.deepEqual([truth.name, truth.status, truth.recordCount, truth.recoverableRecords], ['truth', 'destroyed', EXPORTED, 0]);
  assert.deepEqual([truth.file, truth.plainBytes, truth.timestamps], ['truth.jsonl.gz', described.truth.bytesWritten, described.truth.timestamps]);
  assert.deepEqual(truth.partitions.map(({ name }) => name), Object.keys(described.truth.partitions));
  assert.deepEqual([nothing.status, nothing.recordCount, nothing.recoverableRecords], ['ok', 0, 0], 'a resource without records has nothing to lose');
  assert.deepEqual(truth.attributes, []);
  assert.deepEqual(kinds(backup), ['truth: records-destroyed', 'truth: records-limit', 'attributes-lost']);
});

test('either file of a backup leads to it', async () => {
  const { id, archive, manifest } = await pluginBackup({});
  for (const path of [archive, manifest]) assert.equal(inspected(13, path).backup.id, id);
});

test('the text says it plainly', async () => {
  const { root, id } = await pluginBackup({});
  const text = teeline(13, 'inspect-plugin', root);
  assert.match(text, new RegExp(`^${id} damaged: 0 of 1,000 records can be had$`, 'm'));
  assert.match(text, /truth: no record can be recovered from truth\.jsonl\.gz: .* U\+FFFD: \d+ such characters/);
  assert.match(text, /truth: recordCount is exactly 1000/);
  assert.match(text, /^what to do: make a backup/m);
});

test('encryption and compressions that were only claimed are found out', async () => {
  const secret = await pluginBackup({ encryption: { algorithm: 'aes-256-gcm', key: 'k'.repeat(32) }, compression: 'brotli' });
  const { backup } = inspected(13, secret.root);
  assert.deepEqual([backup.manifest.encrypted, backup.manifest.compression, backup.archive.form], [true, 'brotli', 'gzip']);
  assert.deepEqual(kinds(backup).slice(-2), ['encryption-not-done', 'compression-differs']);
});

test('without compression the records are destroyed all the same', async () => {
  const { root } = await pluginBackup({ compression: 'none' });
  const { backup } = inspected(13, root);
  assert.deepEqual([backup.manifest.compression, backup.archive.form, backup.recoverableRecords], ['none', 'json', 0]);
  assert.equal(backup.resources[0].status, 'destroyed');
});

test('an archive that was damaged later is named with what was found', async () => {
  const { root, archive } = await pluginBackup({});
  const bytes = readFileSync(archive);
  for (const [left, kind] of [[bytes.subarray(0, bytes.length >> 1), 'archive-cut-short'], [Buffer.from('damaged'), 'archive-foreign']]) {
    writeFileSync(archive, left);
    const { backup } = inspected(13, root);
    assert.deepEqual([backup.status, backup.recordCount, kinds(backup)[0]], ['damaged', null, kind]);
  }
});

test('what it suggests keeps every record', () => {
  const local = folder('instead');
  const { id } = report(0, 'backup', 'full', '--connection', url, '--to', local);
  report(0, 'verify', 'latest', '--at', local);
  const lines = recordsIn(join(local, id)).get('truth').toString().trimEnd().split('\n');
  assert.equal(lines.length, RECORDS);
});
