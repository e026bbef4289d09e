//! How fast stored objects become documents, and documents objects again. A record is one element.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Map, Value, json};
use teeline_sources::s3db::{Catalogue, RawObject, Resource, decode, encode};

const ID: &str = "order-000123";

/// A record of a behaviour, in both its forms.
struct Stored {
    name: &'static str,
    resource: Resource,
    document: Map<String, Value>,
    object: RawObject,
}

impl Stored {
    fn new(name: &'static str, behavior: &str, note_bytes: usize) -> Self {
        let resource = resource(behavior);
        let document = document(note_bytes);
        let object = encode(&resource, &document).expect("it fits the schema");
        Stored {
            name,
            resource,
            document,
            object,
        }
    }

    /// One whose values are in metadata, one with a value too large for it in the body, and one with all of them there.
    fn of_each_behavior() -> [Stored; 3] {
        let in_metadata = Stored::new("metadata", "user-managed", 400);
        assert!(in_metadata.object.body.is_empty());
        let overflown = Stored::new("body-overflow", "body-overflow", 3_000);
        assert!(!overflown.object.body.is_empty() && overflown.object.metadata.len() > 2);
        let in_body = Stored::new("body-only", "body-only", 3_000);
        assert!(in_body.object.body.len() > 3_000);
        [in_metadata, overflown, in_body]
    }
}

fn resource(behavior: &str) -> Resource {
    let catalogue = json!({"resources": {"orders": {
        "currentVersion": "v1",
        "versions": {"v1": {"behavior": behavior, "attributes": {
            "name": "string",
            "email": "string",
            "quantity": "number",
            "paid": "boolean",
            "tags": "array|items:string",
            "address": {"city": "string", "zip": "string"},
            "note": "string",
        }}},
        "schemaRegistry": {"burned": [], "mapping": {
            "name": 0, "email": 1, "quantity": 2, "paid": 3, "tags": 4,
            "address": 5, "address.city": 6, "address.zip": 7, "note": 8,
        }},
    }}});
    let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).expect("a catalogue");
    let orders = catalogue.resources.into_iter().next();
    orders.expect("its one resource")
}

fn document(note_bytes: usize) -> Map<String, Value> {
    let note: String = "not every word is ASCII: São Paulo, München. "
        .chars()
        .cycle()
        .take(note_bytes)
        .collect();
    let document = json!({
        "id": ID,
        "name": "Jürgen Example",
        "email": "user4711@shop.example",
        "quantity": 12.5,
        "paid": true,
        "tags": ["new", "large", "fragile"],
        "address": {"city": "Kraków", "zip": "30-001"},
        "note": note,
    });
    document.as_object().cloned().unwrap_or_default()
}

/// With the check that the document gives the very object back.
fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("s3db decode");
    group.throughput(Throughput::Elements(1));
    for stored in Stored::of_each_behavior() {
        let decoded = decode(&stored.resource, ID, &stored.object);
        assert!(decoded.exact && decoded.document == stored.document);
        group.bench_function(stored.name, |bencher| {
            bencher.iter(|| decode(&stored.resource, ID, black_box(&stored.object)));
        });
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("s3db encode");
    group.throughput(Throughput::Elements(1));
    for stored in Stored::of_each_behavior() {
        group.bench_function(stored.name, |bencher| {
            bencher.iter(|| encode(&stored.resource, black_box(&stored.document)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    targets = decoding, encoding
}
criterion_main!(benches);
