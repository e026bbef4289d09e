//! A shop's database for trying things out, written as s3db.js would: four resources, 5,000 records unless another number
//! is asked for, the same ones every time.
//!
//! The documents are encoded by the mapping that restores use, which is kept to s3db.js by tests of its own. The
//! catalogue comes last, so a sample that is half written is none.

mod shop;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use teeline::sources::s3db::{RestoreMode, S3dbTarget, ScanOptions, WriteBackOptions};
use teeline::{BackupError, Class, Connection, S3dbSource, Target, Timestamp};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};

use self::shop::{CUSTOMERS, ORDERS, PRODUCTS, RESOURCES, Shop, WRITTEN_MS};

/// Records that are handed to the writer at once. It decides how many of them are under way.
const BATCH: usize = 250;

/// Whether there is no database yet.
///
/// # Errors
/// Where that can't be found out.
pub(crate) async fn is_absent(connection: &Connection) -> Result<bool, BackupError> {
    match S3dbSource::new(connection.clone(), ScanOptions::default())
        .database_catalogue()
        .await
    {
        Ok(_) => Ok(false),
        Err(error) if error.class() == Class::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes the database with so many records.
///
/// # Errors
/// Where the server doesn't take it.
pub(crate) async fn write(connection: Connection, records: u64) -> Result<(), BackupError> {
    let shop = Shop::new(records);
    // What is there is of a sample that was broken off, and has the same keys and contents.
    let options = WriteBackOptions {
        mode: Some(RestoreMode::Merge),
        ..WriteBackOptions::default()
    };
    let mut target = S3dbTarget::new(connection, options);
    let restoring = restoring();
    target.check(&restoring).await?;
    target.begin(&restoring).await?;
    let written = write_all(&mut target, &shop).await;
    match written {
        Ok(()) => target.finish().await,
        Err(error) => {
            // It is the first failure that tells what is wrong.
            let _ = target.abort().await;
            Err(error)
        }
    }
}

async fn write_all(target: &mut S3dbTarget, shop: &Shop) -> Result<(), BackupError> {
    for resource in RESOURCES {
        let numbers: Vec<u64> = (0..shop.count(resource)).collect();
        for batch in numbers.chunks(BATCH) {
            let mut lines = Vec::new();
            let mut frames = Vec::new();
            for number in batch {
                let document = shop.document(resource, *number);
                frames.extend(index_keys(resource, &document).map(index_entry));
                lines.extend(Value::Object(document).to_string().into_bytes());
                lines.push(b'\n');
            }
            target.lines(resource, Bytes::from(lines)).await?;
            target.frames(frames).await?;
        }
    }
    Ok(())
}

/// The attributes of a resource, its behaviour and its partitions.
fn schema(resource: &str) -> (Value, &'static str, Value) {
    match resource {
        CUSTOMERS => (
            json!({
                "name": "string", "email": "email", "active": "boolean", "joinedAt": "datetime",
                "tags": "array|items:string", "points": "number|integer:true",
                "address": { "street": "string", "city": "string", "country": "string" },
            }),
            "user-managed",
            json!({}),
        ),
        PRODUCTS => (
            json!({
                "name": "string", "description": "string", "price": "number", "stock": "number|integer:true",
                "available": "boolean", "categories": "array|items:string", "specification": "json",
                "addedAt": "datetime",
            }),
            "user-managed",
            json!({}),
        ),
        ORDERS => (
            json!({
                "customerId": "string", "status": "string", "orderedAt": "datetime", "paid": "boolean",
                "total": "number", "lines": "json", "note": "string|optional",
                "shipping": { "method": "string", "city": "string", "express": "boolean" },
            }),
            "user-managed",
            json!({ "byStatus": { "fields": { "status": "string" } } }),
        ),
        // Text that headers have no room for goes into the body.
        _ => (
            json!({
                "productId": "string", "customerId": "string", "stars": "number|integer:true", "title": "string",
                "text": "string", "verified": "boolean", "helpful": "array|items:number",
            }),
            "body-overflow",
            json!({}),
        ),
    }
}

/// The entries that a record has in the partitions of its resource.
fn index_keys(resource: &str, document: &Map<String, Value>) -> impl Iterator<Item = String> {
    let field = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (id, status) = (field("id"), field("status"));
    (resource == ORDERS)
        .then(|| format!("resource={ORDERS}/partition=byStatus/status={status}/id={id}"))
        .into_iter()
}

fn index_entry(key: String) -> Frame {
    Frame {
        header: FrameHeader {
            key,
            offset: 0,
            length: 0,
            size: 0,
            content_type: Some("application/octet-stream".to_owned()),
            metadata: BTreeMap::from([("_v".to_owned(), "v1".to_owned())]),
        },
        bytes: Bytes::new(),
    }
}

/// `s3db.json`.
fn catalogue() -> Bytes {
    let written = Timestamp::from_unix_ms(WRITTEN_MS).to_string();
    let mut resources = Map::new();
    for resource in RESOURCES {
        let (attributes, behavior, partitions) = schema(resource);
        let mapping = numbers(&attributes);
        let version = json!({
            "hash": hash(&attributes, behavior, &partitions),
            "attributes": attributes,
            "behavior": behavior,
            "timestamps": false,
            "partitions": partitions,
            "paranoid": true,
            "allNestedObjectsOptional": true,
            "autoDecrypt": true,
            "cache": false,
            "hooks": {},
            "idSize": 22,
            "idGenerator": "default",
            "createdAt": written,
        });
        let entry = json!({
            "currentVersion": "v1",
            "partitions": partitions,
            "createdBy": "user",
            "versions": { "v1": version },
            "schemaRegistry": { "nextIndex": mapping.len(), "mapping": mapping, "burned": [] },
            "pluginSchemaRegistry": {},
        });
        resources.insert(resource.to_owned(), entry);
    }
    let catalogue = json!({ "version": "1", "s3dbVersion": "21.6.2", "lastUpdated": written, "resources": resources });
    Bytes::from(format!("{catalogue:#}"))
}

/// The numbers of attributes: the leaves in their order, then the objects that hold them.
fn numbers(attributes: &Value) -> Map<String, Value> {
    let members = || attributes.as_object().into_iter().flatten();
    let leaves = members().flat_map(|(name, definition)| match definition {
        Value::Object(inner) => inner.keys().map(|leaf| format!("{name}.{leaf}")).collect(),
        _ => vec![name.clone()],
    });
    let objects = members()
        .filter(|(_, definition)| definition.is_object())
        .map(|(name, _)| name.clone());
    leaves
        .chain(objects)
        .zip(0_u64..)
        .map(|(path, number)| (path, number.into()))
        .collect()
}

/// The hash by which s3db.js sees whether a schema has changed: of compact JSON with sorted keys.
fn hash(attributes: &Value, behavior: &str, partitions: &Value) -> String {
    let mut definition =
        json!({ "attributes": attributes, "behavior": behavior, "partitions": partitions });
    definition.sort_all_objects();
    let digest = Sha256::digest(definition.to_string());
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hexadecimal}")
}

/// What a restore is told, as if of a backup of the sample.
fn restoring() -> Restoring {
    let resource = |name: &str| RestoringResource {
        name: name.to_owned(),
        restored_as: Some(name.to_owned()),
        is_in_part: false,
    };
    Restoring {
        backup: "sample-2026-01-01T00-00-00-aaaaaaaaaa"
            .parse()
            .expect("an id"),
        source: SourceKind::S3db,
        resources: RESOURCES.map(resource).into(),
        is_of_some: false,
        ids: None,
        database_catalogue: Some(catalogue()),
        dry_run: false,
    }
}

#[cfg(test)]
mod tests {
    use teeline::sources::s3db::{Catalogue, decode, encode};

    use super::shop::REVIEWS;

    use super::*;

    #[test]
    fn every_document_is_exact_in_its_storage_form() {
        let catalogue = Catalogue::parse(&catalogue()).unwrap();
        let shop = Shop::new(5_000);
        assert_eq!(
            RESOURCES.map(|resource| shop.count(resource)),
            [1_000, 500, 2_500, 1_000]
        );
        for name in RESOURCES {
            let resource = catalogue.resource(name).unwrap();
            for number in 0..shop.count(name) {
                let document = shop.document(name, number);
                let object = encode(resource, &document).unwrap();
                let id = document["id"].as_str().unwrap();
                let decoded = decode(resource, id, &object);
                assert_eq!(decoded.reason, None, "{document:?}");
                assert_eq!(
                    Value::Object(decoded.document),
                    Value::Object(document),
                    "{object:?}"
                );
            }
        }
    }

    #[test]
    fn long_reviews_overflow_and_short_ones_do_not() {
        let catalogue = Catalogue::parse(&catalogue()).unwrap();
        let shop = Shop::new(100);
        let reviews = catalogue.resource(REVIEWS).unwrap();
        let has_body = |number| {
            !encode(reviews, &shop.document(REVIEWS, number))
                .unwrap()
                .body
                .is_empty()
        };
        assert_eq!(
            [0, 1, 2, 3, 4].map(has_body),
            [true, false, false, false, true]
        );
    }

    #[test]
    fn each_order_has_an_entry_in_the_index() {
        let shop = Shop::new(10);
        let keys: Vec<String> = index_keys(ORDERS, &shop.document(ORDERS, 3)).collect();
        let status = shop.document(ORDERS, 3)["status"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            keys,
            [format!(
                "resource=orders/partition=byStatus/status={status}/id=order-000003"
            )]
        );
        assert_eq!(index_keys(REVIEWS, &shop.document(REVIEWS, 0)).count(), 0);
    }

    #[test]
    fn the_hash_is_that_of_s3db() {
        let attributes = json!({"name": "string", "size": "number|optional"});
        let expected = "sha256:44f1de442721ce56312746d40cbda80a00835cdc472a0082e6f652fbe7d2b87c";
        assert_eq!(hash(&attributes, "user-managed", &json!({})), expected);
        let nested = json!({"status": "string", "address": {"city": "string"}});
        assert_eq!(
            Value::Object(numbers(&nested)),
            json!({"status": 0, "address.city": 1, "address": 2})
        );
    }

    #[test]
    fn any_number_of_records_is_met() {
        for records in [1, 7, 10, 999] {
            let shop = Shop::new(records);
            assert_eq!(
                RESOURCES
                    .map(|resource| shop.count(resource))
                    .iter()
                    .sum::<u64>(),
                records
            );
            for resource in RESOURCES {
                (0..shop.count(resource)).for_each(|number| drop(shop.document(resource, number)));
            }
        }
    }
}
