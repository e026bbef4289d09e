//! JSON and JSON5: their syntax, as far as it isn't left to the parsers.
//!
//! No message quotes the text.

use std::collections::BTreeSet;
use std::fmt;

use config::{Map, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::blame::Position;
use super::file::SyntaxError;
use super::javascript::as_json5;

/// Checks the syntax, and that no key is given twice: the parser would silently take the last.
pub(super) fn check_json(text: &str) -> Result<(), SyntaxError> {
    serde_json::from_str::<AnyJson>(text)
        .map(|_| ())
        .map_err(|error| {
            let position = Position {
                line: error.line(),
                column: error.column(),
            };
            // The place is shown before the message.
            let message = error.to_string();
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(head, _)| head);
            (Some(position), message.to_owned())
        })
}

/// Reads JSON5, with what people paste of JavaScript in it.
pub(super) fn parse_json5(text: &str) -> Result<Map<String, Value>, SyntaxError> {
    let text = as_json5(text)?;
    json5::from_str::<AnyJson>(&text).map_err(|error| json5_error(&error))?;
    json5::from_str(&text).map_err(|_| {
        let message = "isn't an object, or has a number that is too large";
        (None, message.to_owned())
    })
}

fn json5_error(error: &json5::Error) -> SyntaxError {
    let Some(code) = error.code() else {
        return (None, TWICE.to_owned());
    };
    let position = error.position().map(|at| Position {
        line: at.line + 1,
        column: at.column + 1,
    });
    (position, code.to_string())
}

const TWICE: &str = "a key is given twice";

/// Any JSON without a key twice in one table.
struct AnyJson;

impl<'de> Deserialize<'de> for AnyJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

impl<'de> Visitor<'de> for AnyJson {
    type Value = AnyJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_i64<E>(self, _: i64) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_u64<E>(self, _: u64) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_f64<E>(self, _: f64) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_str<E>(self, _: &str) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_unit<E>(self) -> Result<AnyJson, E> {
        Ok(AnyJson)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<AnyJson, A::Error> {
        while values.next_element::<AnyJson>()?.is_some() {}
        Ok(AnyJson)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<AnyJson, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, AnyJson)) = entries.next_entry::<String, AnyJson>()? {
            if !names.insert(name) {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(AnyJson)
    }
}
