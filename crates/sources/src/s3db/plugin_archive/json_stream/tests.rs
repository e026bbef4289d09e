//! The stream against `serde_json`.

use std::io::BufReader;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A document as `serde_json` has it, by way of the stream.
fn value(json: &mut JsonStream<impl BufRead>) -> Result<Value, JsonFault> {
    Ok(match json.begin()? {
        b'{' => {
            let mut members = serde_json::Map::new();
            json.object(1 << 20, |json, key| {
                members.insert(key.to_owned(), value(json)?);
                Ok(())
            })?;
            Value::Object(members)
        }
        b'[' => {
            let mut items = Vec::new();
            json.array(|json| {
                items.push(value(json)?);
                Ok(())
            })?;
            Value::Array(items)
        }
        b'"' => Value::String(json.short_text(1 << 20)?),
        _ => json.scalar()?,
    })
}

fn read(bytes: &[u8], piece: usize) -> Result<Value, JsonFault> {
    let mut json = JsonStream::new(BufReader::with_capacity(piece, bytes));
    let value = value(&mut json)?;
    json.end().map(|()| value)
}

fn skipped(bytes: &[u8], piece: usize) -> Result<(), JsonFault> {
    let mut json = JsonStream::new(BufReader::with_capacity(piece, bytes));
    json.skip()?;
    json.end()
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_reads_what_serde_json_writes(document in documents(), piece in 1usize..40, indented: bool) {
        let text = if indented { format!("{document:#}\n") } else { document.to_string() };
        prop_assert_eq!(read(text.as_bytes(), piece).unwrap(), document);
        prop_assert!(skipped(text.as_bytes(), piece).is_ok());
    }

    #[test]
    fn a_damaged_document_is_refused_where_serde_json_refuses_it(
        document in documents(), at: proptest::sample::Index, byte: u8, piece in 1usize..40,
    ) {
        let mut bytes = document.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // Half a surrogate pair is the one thing that the stream takes and `serde_json` doesn't.
        if let Ok(expected) = serde_json::from_slice::<Value>(&bytes) {
            prop_assert_eq!(read(&bytes, piece).unwrap(), expected);
        } else {
            prop_assert!(read(&bytes, piece).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..9) {
        let expected = serde_json::from_slice::<Value>(&bytes);
        prop_assert!(read(&bytes, piece).is_err() || expected.is_ok());
        let _ = skipped(&bytes, piece);
    }
}

#[test]
fn escapes_are_characters() {
    let text = r#""\u0041\n\ud83d\ude00é\ud83d\n\ud83dx\ude00\ud83d\ud83d\ude00\/""#;
    let expected = "A\n\u{1f600}é\u{fffd}\n\u{fffd}x\u{fffd}\u{fffd}\u{1f600}/";
    assert_eq!(read(text.as_bytes(), 3).unwrap(), json!(expected));
}

#[test]
fn what_is_wrong_is_placed() {
    let wrong = |bytes: &[u8]| match read(bytes, 4) {
        Err(JsonFault::Syntax { at, message }) => (at, message),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        wrong(b"{\"a\" 1}"),
        (5, "'1' where ':' is expected".to_owned())
    );
    assert_eq!(wrong(b"[1 2]").0, 3);
    assert_eq!(wrong(b"[nul]"), (1, "\"nul\" is no value".to_owned()));
    assert_eq!(wrong(b"{} x").0, 3);
    assert!(wrong(b"\"a\xff\"").1.contains("UTF-8"));
    assert!(wrong("[".repeat(65).as_bytes()).1.contains("64 values"));
    let cut_short = read(b"{\"a\": [1, \"b", 4).unwrap_err();
    assert!(
        matches!(&cut_short, JsonFault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof),
        "{cut_short:?}"
    );
}

#[test]
fn long_strings_pass_but_are_not_held() {
    let document = format!("\"{}\"", "é".repeat(50_000));
    let mut json = JsonStream::new(BufReader::with_capacity(101, document.as_bytes()));
    let mut characters = 0;
    json.text(&mut |piece| characters += piece.chars().count())
        .unwrap();
    assert_eq!(characters, 50_000);
    let mut json = JsonStream::new(document.as_bytes());
    assert!(json.short_text(99_999).is_err());
}
