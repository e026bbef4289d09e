use proptest::prelude::*;
use serde_json::json;

use super::*;

fn kind(definition: &str) -> Kind {
    Kind::of(&json!(definition))
}

/// One definition for each type.
pub(in super::super) const DEFINITIONS: [&str; 31] = [
    "string",
    "any",
    "number",
    "number|integer",
    "boolean",
    "datetime",
    "dateonly",
    "timeonly",
    "duration",
    "array|items:string",
    "array|items:number",
    "array|items:number|integer",
    "array",
    "array|items:datetime",
    "embedding",
    "json",
    "object",
    "buffer",
    "ip4",
    "ip6",
    "mac",
    "cidr",
    "money",
    "decimal",
    "geo:lat",
    "geo:point",
    "uuid",
    "semver",
    "phone",
    "color",
    "ean",
];

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC*|[-0-9A-Za-z.]{0,12}|[$^~\\[\\]|P,e+-]*[0-9A-Za-z|~,]*\\]?") {
        for definition in DEFINITIONS {
            let kind = kind(definition);
            let value = kind.decode(&Cell::Text(text.clone()), false);
            let _ = kind.encode(&value);
            let _ = kind.encode(&json!(text.clone()));
        }
    }

    #[test]
    fn numbers_never_panic(number: f64) {
        for definition in DEFINITIONS {
            let _ = kind(definition).encode(&json!([number, {"latitude": number, "longitude": number}]));
            let _ = kind(definition).encode(&json!(number));
        }
    }

    #[test]
    fn large_numbers_survive(number in -1e21..1e21, integer: bool) {
        let definition = if integer { "number|integer" } else { "number" };
        let stored = kind(definition).encode(&json!(number)).unwrap();
        let read = kind(definition).decode(&stored, false);
        prop_assert_eq!(kind(definition).encode(&read), Ok(stored));
    }

    #[test]
    fn datetimes_survive(millis in -8_640_000_000_000_000_i64..=8_640_000_000_000_000) {
        #[expect(clippy::cast_precision_loss, reason = "dates are below 2^53")]
        let stored = super::super::javascript::base62(millis as f64);
        let read = time::read_datetime(&stored).unwrap();
        prop_assert_eq!(time::write_datetime(&read), Some(stored));
    }

    #[test]
    fn texts_in_arrays_survive(items in proptest::collection::vec(".*", 2..6)) {
        let kind = kind("array|items:string");
        let cell = kind.encode(&json!(items)).unwrap();
        prop_assert_eq!(kind.decode(&cell, false), json!(items));
    }
}
