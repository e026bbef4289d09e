//! Lines that must be JSON, or text, or nothing in particular.

use serde::de::IgnoredAny;

use crate::block::LineOrigin;
use crate::error::{BackupError, Class};

/// What some editors put before the first character of a file; no JSON begins with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What is checked of lines that are carried byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineCheck {
    /// Each is one JSON value in UTF-8.
    #[default]
    Json,
    /// Each is text in UTF-8, and not blank.
    Lines,
    /// Nothing.
    None,
}

/// Checks lines as their origin asks for it.
///
/// # Errors
/// Names file, line and column (both from 1, the column in bytes) of the first line that isn't what it has to be.
pub fn check_lines(lines: &[u8], origin: &LineOrigin) -> Result<(), BackupError> {
    if origin.check == LineCheck::None {
        return Ok(());
    }
    for (index, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // A line that ends in both is a line of Windows: its end is no part of it either.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(Problem {
            column,
            reason,
            remedy,
        }) = problem_of(line, origin.check)
        {
            let line = origin.line + index as u64;
            let subject = format!("{}, line {line}, column {column}", origin.file);
            let wanted = match origin.check {
                LineCheck::Json => "JSON",
                LineCheck::Lines | LineCheck::None => "a line of text",
            };
            let message = format!("not {wanted}: {reason}");
            return Err(
                BackupError::new(Class::Permanent, "read", subject, message).suggest(remedy)
            );
        }
    }
    Ok(())
}

struct Problem {
    column: usize,
    reason: String,
    remedy: &'static str,
}

/// What is wrong with a line, whose end isn't part of it: a parser that meets it would count it.
fn problem_of(line: &[u8], check: LineCheck) -> Option<Problem> {
    let problem = |column, reason: &str, remedy| {
        Some(Problem {
            column,
            reason: reason.to_owned(),
            remedy,
        })
    };
    let mend = match check {
        LineCheck::Json => "each line must be one JSON value; mend or remove the line",
        LineCheck::Lines | LineCheck::None => {
            "mend or remove the line, or have nothing checked: --validate none"
        }
    };
    if check == LineCheck::Json && line.starts_with(BYTE_ORDER_MARK) {
        return problem(
            1,
            "it begins with a byte order mark",
            "save the file as UTF-8 without a byte order mark",
        );
    }
    if line.trim_ascii().is_empty() {
        return problem(1, "it is blank", "remove the line");
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => return problem(error.valid_up_to() + 1, "not UTF-8", mend),
    };
    if check != LineCheck::Json {
        return None;
    }
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    let words = error.to_string();
    let reason = words.rsplit_once(" at line");
    let reason = reason.map_or(words.as_str(), |(reason, _)| reason);
    problem(error.column().max(1), reason, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str) -> Option<String> {
        check_as(LineCheck::Json, lines.as_bytes())
    }

    fn check_as(check: LineCheck, lines: &[u8]) -> Option<String> {
        let origin = LineOrigin {
            file: "a.jsonl".into(),
            line: 10,
            check,
        };
        check_lines(lines, &origin)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn as_much_is_checked_as_was_asked() {
        for lines in [&b"{}\n\n"[..], b"{}\n\xff\n", b"{}\n{\n"] {
            assert!(check_as(LineCheck::Json, lines).is_some());
            assert!(check_as(LineCheck::None, lines).is_none());
        }
        assert_eq!(
            check_as(LineCheck::Lines, b"{}\n \n").unwrap(),
            "read a.jsonl, line 11, column 1: not a line of text: it is blank"
        );
        assert_eq!(
            check_as(LineCheck::Lines, b"{}\na\xff\n").unwrap(),
            "read a.jsonl, line 11, column 2: not a line of text: not UTF-8"
        );
        assert_eq!(
            check_as(LineCheck::Lines, "{\n\u{feff}{}\n".as_bytes()),
            None
        );
    }

    #[test]
    fn what_cannot_be_seen_has_words_of_its_own() {
        for blank in ["\n", " \t\n", "\r\n"] {
            assert_eq!(
                check(&format!("{{}}\n{blank}{{}}\n")).unwrap(),
                "read a.jsonl, line 11, column 1: not JSON: it is blank"
            );
        }
        assert_eq!(
            check("\u{feff}{}\n").unwrap(),
            "read a.jsonl, line 10, column 1: not JSON: it begins with a byte order mark"
        );
    }

    #[test]
    fn the_place_is_named() {
        assert_eq!(check("{\"a\":1}\r\n[1]\n\"x\"\n5\n"), None);
        assert!(
            check("{}\n{\"a\":}\n")
                .unwrap()
                .contains("a.jsonl, line 11, column 6")
        );
        for end in ["\n", "\r\n"] {
            let truncated = check(&format!("{{}}{end}{{\"a\":1{end}")).unwrap();
            assert!(
                truncated.contains("a.jsonl, line 11, column 6: "),
                "{truncated}"
            );
        }
        assert!(check("{} {}\n").unwrap().contains("line 10, column 4"));
        assert_eq!(
            check(&format!("{}1{}\n", "[".repeat(5000), "]".repeat(5000))),
            None
        );
        assert!(
            check_as(LineCheck::Json, b"\"\xff\"\n")
                .unwrap()
                .contains("line 10, column 2: not JSON: not UTF-8")
        );
    }
}
