//! A shop's database for trying things out, written as s3db.js would: four resources, 5,000 records unless another number
//! is asked for, the same ones every time.
//!
//! The documents are encoded by the mapping that restores use, which is kept to s3db.js by tests of its own. The
//! catalogue comes last, so a sample that is half written is none.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use teeline::sources::s3db::{RestoreMode, S3dbTarget, ScanOptions, WriteBackOptions};
use teeline::{BackupError, Class, Connection, S3dbSource, Target, Timestamp};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};

/// Records that are handed to the writer at once. It decides how many of them are under way.
const BATCH: usize = 250;
/// When everything in the sample was written: 2026-01-01.
const WRITTEN_MS: i64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;

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

const CUSTOMERS: &str = "customers";
const PRODUCTS: &str = "products";
const ORDERS: &str = "orders";
const REVIEWS: &str = "reviews";
const RESOURCES: [&str; 4] = [CUSTOMERS, PRODUCTS, ORDERS, REVIEWS];

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

/// How many records of each resource there are, and what is in them.
struct Shop {
    customers: u64,
    products: u64,
    orders: u64,
    reviews: u64,
}

impl Shop {
    fn new(records: u64) -> Self {
        let (customers, products, orders) = (records / 5, records / 10, records / 2);
        Shop {
            customers,
            products,
            orders,
            reviews: records - customers - products - orders,
        }
    }

    fn count(&self, resource: &str) -> u64 {
        match resource {
            CUSTOMERS => self.customers,
            PRODUCTS => self.products,
            ORDERS => self.orders,
            _ => self.reviews,
        }
    }

    /// A record, by its number; the same one every time.
    fn document(&self, resource: &str, number: u64) -> Map<String, Value> {
        let mut random = Random::new(resource, number);
        let document = match resource {
            CUSTOMERS => customer(number, &mut random),
            PRODUCTS => product(number, &mut random),
            ORDERS => self.order(number, &mut random),
            _ => self.review(number, &mut random),
        };
        match document {
            Value::Object(document) => document,
            _ => Map::new(),
        }
    }

    fn order(&self, number: u64, random: &mut Random) -> Value {
        let status = random.pick(&[
            "pending",
            "processing",
            "shipped",
            "delivered",
            "delivered",
            "cancelled",
        ]);
        let mut cents = 0;
        let lines: Vec<Value> = (0..=random.below(4))
            .map(|_| {
                let (quantity, price) = (1 + random.below(3), 199 + random.below(20_000));
                cents += quantity * price;
                let product = id("product", random.below(self.products.max(1)));
                json!({ "productId": product, "quantity": quantity, "price": amount(price) })
            })
            .collect();
        let mut order = json!({
            "id": id("order", number),
            "customerId": id("customer", random.below(self.customers.max(1))),
            "status": status,
            "orderedAt": random.time(700),
            "paid": matches!(status, "shipped" | "delivered"),
            "total": amount(cents),
            "lines": lines,
            "shipping": {
                "method": random.pick(&["parcel", "letter", "pickup"]),
                "city": random.pick(&CITIES).0,
                "express": random.below(5) == 0,
            },
        });
        if random.below(3) == 0 {
            order["note"] = random.text(3, 9).into();
        }
        order
    }

    fn review(&self, number: u64, random: &mut Random) -> Value {
        // Every fourth one is a long read.
        let sentences = if number.is_multiple_of(4) {
            40 + random.below(30)
        } else {
            1 + random.below(6)
        };
        let text: Vec<String> = (0..sentences).map(|_| random.text(6, 16)).collect();
        json!({
            "id": id("review", number),
            "productId": id("product", random.below(self.products.max(1))),
            "customerId": id("customer", random.below(self.customers.max(1))),
            "stars": 1 + random.below(5),
            "title": random.text(2, 5),
            "text": text.join(" "),
            "verified": random.below(3) > 0,
            "helpful": [random.below(50), random.below(20)],
        })
    }
}

fn customer(number: u64, random: &mut Random) -> Value {
    let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
    let (city, country) = *random.pick_ref(&CITIES);
    let tags: Vec<&str> = [
        "newsletter",
        "wholesale",
        "gift card",
        "returns often",
        "vip",
    ]
    .into_iter()
    .filter(|_| random.below(3) == 0)
    .collect();
    let mut customer = json!({
        "id": id("customer", number),
        "name": format!("{first} {last}"),
        "email": format!("customer{number}@example.com"),
        "active": random.below(8) > 0,
        "joinedAt": random.time(2_000),
        "points": random.below(10_000),
        "address": { "street": format!("{} {}", random.pick(&STREETS), 1 + random.below(180)), "city": city, "country": country },
    });
    if !tags.is_empty() {
        customer["tags"] = tags.into();
    }
    customer
}

fn product(number: u64, random: &mut Random) -> Value {
    let kind = random.pick(&[
        "lamp",
        "chair",
        "kettle",
        "backpack",
        "notebook",
        "speaker",
        "bicycle bell",
        "raincoat",
    ]);
    let stock = random.below(400);
    json!({
        "id": id("product", number),
        "name": format!("{} {kind}", random.pick(&["Oak", "Steel", "Nordic", "Pocket", "Garden", "Café", "Little", "Blue"])),
        "description": random.text(12, 40),
        "price": amount(199 + random.below(50_000)),
        "stock": stock,
        "available": stock > 0,
        "categories": [random.pick(&["home", "travel", "office"]), random.pick(&["new", "classic", "sale"])],
        "specification": {
            "weightGrams": 50 + random.below(8_000),
            "colors": [random.pick(&["red", "blue"]), random.pick(&["green", "black"])],
            "guarantee": { "years": 1 + random.below(5), "transferable": random.below(2) == 0 },
        },
        "addedAt": random.time(1_500),
    })
}

const FIRST_NAMES: [&str; 10] = [
    "Ana", "Bruno", "Chloé", "Dmitri", "Emeka", "Freya", "Giulia", "Hana", "João", "Zoë",
];
const LAST_NAMES: [&str; 8] = [
    "Almeida", "Berg", "Costa", "Dubois", "Eze", "Fischer", "Núñez", "Tanaka",
];
const STREETS: [&str; 5] = [
    "Harbour Street",
    "Rua das Flores",
    "Lindenallee",
    "Rue Lepic",
    "Mill Lane",
];
const CITIES: [(&str, &str); 6] = [
    ("Lisboa", "PT"),
    ("São Paulo", "BR"),
    ("Köln", "DE"),
    ("Lyon", "FR"),
    ("Leeds", "GB"),
    ("Kyoto", "JP"),
];
const WORDS: [&str; 32] = [
    "sturdy",
    "light",
    "arrived",
    "quickly",
    "colour",
    "exactly",
    "as",
    "shown",
    "would",
    "buy",
    "again",
    "the",
    "handle",
    "feels",
    "solid",
    "after",
    "three",
    "weeks",
    "of",
    "daily",
    "use",
    "and",
    "still",
    "looks",
    "new",
    "packaging",
    "was",
    "plain",
    "but",
    "fine",
    "quiet",
    "warm",
];

fn id(kind: &str, number: u64) -> String {
    format!("{kind}-{number:06}")
}

/// An amount of money, of its cents; a whole one is printed without a fraction, as JavaScript does.
fn amount(cents: u64) -> Value {
    match cents % 100 {
        0 => (cents / 100).into(),
        _ => (cents as f64 / 100.0).into(),
    }
}

/// Numbers that look random and are the same every time: splitmix64.
struct Random(u64);

impl Random {
    /// Each record has a sequence of its own, so that records don't depend on each other.
    fn new(resource: &str, number: u64) -> Self {
        let seed = resource.bytes().fold(0x7EE1_1EE0, |seed: u64, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let mut random = Random(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick_ref<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or(0)]
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *self.pick_ref(from)
    }

    /// A sentence of so many words.
    fn text(&mut self, min: u64, max: u64) -> String {
        let words: Vec<&str> = (0..min + self.below(max - min))
            .map(|_| self.pick(&WORDS))
            .collect();
        let mut text = words.join(" ");
        text.get_mut(..1)
            .map(str::make_ascii_uppercase)
            .unwrap_or_default();
        text + "."
    }

    /// A moment in the last so many days before the sample was written, as s3db.js reads it back.
    fn time(&mut self, days: u64) -> String {
        let before = i64::try_from(self.below(days * DAY_MS)).unwrap_or(0);
        Timestamp::from_unix_ms(WRITTEN_MS - before).to_string()
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
    };
    Restoring {
        backup: "sample-2026-01-01T00-00-00-aaaaaaaaaa"
            .parse()
            .expect("an id"),
        source: SourceKind::S3db,
        resources: RESOURCES.map(resource).into(),
        ids: None,
        database_catalogue: Some(catalogue()),
        dry_run: false,
    }
}

#[cfg(test)]
mod tests {
    use teeline::sources::s3db::{Catalogue, decode, encode};

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
