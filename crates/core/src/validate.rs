//! Lines that must be JSON.

use serde::de::IgnoredAny;

use crate::block::LineOrigin;
use crate::error::{BackupError, Class};

/// Checks that each line is one JSON value in UTF-8; blank lines are none.
///
/// # Errors
/// Names file, line and column (both from 1, the column in bytes) of the first line that isn't.
pub fn check_json_lines(lines: &[u8], origin: &LineOrigin) -> Result<(), BackupError> {
    for (index, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let problem = match std::str::from_utf8(line) {
            Err(error) => Some((error.valid_up_to() + 1, "not UTF-8".to_owned())),
            Ok(text) => serde_json::from_str::<IgnoredAny>(text).err().map(|error| {
                let text = error.to_string();
                let reason = text
                    .rsplit_once(" at line")
                    .map_or(text.as_str(), |(reason, _)| reason);
                (error.column().max(1), reason.to_owned())
            }),
        };
        if let Some((column, reason)) = problem {
            let line = origin.line + index as u64;
            let subject = format!("{}, line {line}, column {column}", origin.file);
            return Err(BackupError::new(
                Class::Permanent,
                "read",
                subject,
                format!("not JSON: {reason}"),
            )
            .suggest("each line must be one JSON value; mend or remove the line"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str) -> Option<String> {
        let origin = LineOrigin {
            file: "a.jsonl".into(),
            line: 10,
        };
        check_json_lines(lines.as_bytes(), &origin)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn the_place_is_named() {
        assert_eq!(check("{\"a\":1}\r\n[1]\n\"x\"\n5\n"), None);
        assert!(
            check("{}\n{\"a\":}\n")
                .unwrap()
                .contains("a.jsonl, line 11, column 6")
        );
        assert!(check("{}\n{\"a\":1\n").unwrap().contains("line 11"));
        assert!(check("\n").unwrap().contains("line 10"));
        assert!(check("{} {}\n").unwrap().contains("line 10, column 4"));
        assert_eq!(
            check(&format!("{}1{}\n", "[".repeat(5000), "]".repeat(5000))),
            None
        );
        let origin = LineOrigin {
            file: "a.jsonl".into(),
            line: 1,
        };
        let error = check_json_lines(b"\"\xff\"\n", &origin).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("line 1, column 2: not JSON: not UTF-8"),
            "{error}"
        );
    }
}
