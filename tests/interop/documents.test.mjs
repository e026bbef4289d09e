// The documents of a backup, every attribute of every record, against what was put into the database and what s3db.js reads there.
import assert from 'node:assert/strict';
import { createDecipheriv, pbkdf2Sync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { backUp, documentsIn, parsed, recordsIn, report, sources } from './harness.mjs';
import { passphrase } from './kit.mjs';

/** What s3db.js adds itself; times are pinned by the seed and compared byte for byte by the restores. */
const bookkeeping = /^([_$].*|id|createdAt|updatedAt|metadata|metadata_updatedat)$/;

const keyOf = (resource, id) => JSON.stringify([resource, id]);

/** A sealed secret: base64 of salt (16 bytes), IV (12), cipher text and tag (16). What is none throws. */
function unsealed(text) {
  const bytes = Buffer.from(text, 'base64');
  const key = pbkdf2Sync(passphrase, bytes.subarray(0, 16), 100_000, 32, 'sha256');
  const cipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(16, 28)).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([cipher.update(bytes.subarray(28, -16)), cipher.final()]).toString();
}

/** A record of `vault` with its secrets opened, each of which must be sealed. */
function opened({ token, hint, loose, pin, inner, ...document }) {
  const secrets = Object.entries({ token, hint, loose, pin }).map(([name, text]) => [name, unsealed(text)]);
  return { ...document, ...Object.fromEntries(secrets), inner: { key: unsealed(inner.key) } };
}

const backups = {};
before(async () => {
  for (const [name, { url, expected }] of Object.entries(sources)) {
    const made = await backUp('documents', url);
    const expectations = new Map(parsed(readFileSync(expected)).map((line) => [keyOf(line.resource, line.id), line]));
    backups[name] = { ...made, documents: documentsIn(made.files), expectations };
  }
});

for (const name of Object.keys(sources)) {
  test(`every record of ${name} is one document`, () => {
    const { documents, expectations } = backups[name];
    assert.deepEqual(documents.map(({ resource, document }) => keyOf(resource, document.id)).sort(), [...expectations.keys()].sort());
  });

  test(`each attribute in ${name} is what was put, or what s3db.js gets`, () => {
    const { documents, expectations } = backups[name];
    const wrong = [];
    for (const { resource, document } of documents) {
      const { put, got } = expectations.get(keyOf(resource, document.id));
      const plain = resource === 'vault' ? opened(document) : document;
      for (const attribute of new Set([put, got, plain].flatMap(Object.keys))) {
        if (bookkeeping.test(attribute)) continue;
        const value = plain[attribute];
        if (![put, got].some((side) => isDeepStrictEqual(value, side[attribute]))) {
          wrong.push({ resource, id: document.id, attribute, value, put: put[attribute], got: got[attribute] });
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  test(`no secret in ${name} is readable`, () => {
    const { files, expectations } = backups[name];
    const secrets = [...expectations.values()].filter(({ resource, put }) => resource === 'vault' && put.token.length > 4).map(({ put }) => put.token);
    assert.ok(secrets.includes('hunter2'));
    const lines = recordsIn(files).get('vault');
    assert.deepEqual(secrets.filter((secret) => lines.includes(JSON.stringify(secret).slice(1, -1))), []);
  });

  test(`no record of ${name} is kept raw, and contents are in their lines`, () => {
    const { backup, local, files, documents, expectations } = backups[name];
    let contents = 0;
    for (const { resource, document: { id, _s3db: { raw, object, body, bodyBase64 } = {} } } of documents) {
      assert.ok(!raw && !object, `${resource} ${id} is kept raw`);
      const content = expectations.get(keyOf(resource, id)).got.$content?.$bytes;
      if (content === undefined) continue;
      assert.equal(bodyBase64 ?? Buffer.from(body).toString('base64'), content, `${resource} ${id}: its content`);
      contents += 1;
    }
    assert.ok(contents > 1);

    const { resources } = report(0, 'status', backup.id, '--at', local);
    assert.deepEqual(resources.filter(({ keptRaw }) => keptRaw !== 0), []);
    const { totals } = JSON.parse(readFileSync(join(files, 'manifest.json')));
    assert.deepEqual([backup.keptRaw, totals.keptRaw], [0, 0]);
  });
}
