//! What people paste of a constructor's call in JavaScript, and JSON5 doesn't have: octal numbers (`0o644`), which become
//! decimal ones, and `process.env.NAME`, which becomes `"${NAME}"`. Lines stay where they are.
//!
//! What else is JavaScript (functions, objects of classes) is an error that says where it can be given. Nesting is bounded
//! before the parser recurses into it.

use super::blame::Position;
use super::file::SyntaxError;
use super::interpolate::is_variable_name;

/// No configuration comes near.
const DEPTH_MAX: usize = 64;
const ENVIRONMENT: &str = "process.env.";

pub(super) fn as_json5(text: &str) -> Result<String, SyntaxError> {
    let mut scanner = Scanner {
        text,
        at: 0,
        json5: String::with_capacity(text.len()),
        open: Vec::new(),
        is_key_next: false,
    };
    while scanner.at < text.len() {
        scanner.step()?;
    }
    Ok(scanner.json5)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    json5: String,
    /// The brackets that are open.
    open: Vec<char>,
    /// Whether a word here would be the name of a member.
    is_key_next: bool,
}

impl Scanner<'_> {
    fn step(&mut self) -> Result<(), SyntaxError> {
        let rest = &self.text[self.at..];
        let Some(next) = rest.chars().next() else {
            return Ok(());
        };
        if rest.starts_with("//") {
            self.copy(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.copy(rest.find("*/").map_or(rest.len(), |end| end + 2));
        } else if matches!(next, '"' | '\'') {
            self.copy(text_length(rest, next));
        } else if next.is_ascii_digit() {
            self.number(rest);
        } else if is_of_word(next) {
            return self.word(rest);
        } else {
            self.bracket(next)?;
            self.copy(next.len_utf8());
        }
        Ok(())
    }

    fn copy(&mut self, length: usize) {
        self.json5.push_str(&self.text[self.at..self.at + length]);
        self.at += length;
    }

    /// Reads an octal number; others are as they are.
    fn number(&mut self, rest: &str) {
        let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let digits = rest[..length].strip_prefix("0o");
        match digits.and_then(|digits| i64::from_str_radix(digits, 8).ok()) {
            Some(value) => {
                self.json5.push_str(&value.to_string());
                self.at += length;
            }
            None => self.copy(length),
        }
    }

    fn word(&mut self, rest: &str) -> Result<(), SyntaxError> {
        let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let word = &rest[..length];
        if self.is_key_next || matches!(word, "true" | "false" | "null" | "Infinity" | "NaN") {
            self.copy(length);
            return Ok(());
        }
        let variable = word.strip_prefix(ENVIRONMENT);
        let Some(variable) = variable.filter(|name| is_variable_name(name)) else {
            return Err(self.error(
                "this is JavaScript, and a file holds values only: a variable of the environment is process.env.NAME \
                 or \"${NAME}\"; functions and clients are given through the API, and [hooks] stand for functions",
            ));
        };
        self.json5.push_str(&format!("\"${{{variable}}}\""));
        self.at += length;
        Ok(())
    }

    fn bracket(&mut self, next: char) -> Result<(), SyntaxError> {
        match next {
            '{' | '[' if self.open.len() == DEPTH_MAX => {
                return Err(self.error("is nested too deeply for a configuration"));
            }
            '{' | '[' => {
                self.open.push(next);
                self.is_key_next = next == '{';
            }
            '}' | ']' => {
                self.open.pop();
                self.is_key_next = false;
            }
            ',' => self.is_key_next = self.open.last() == Some(&'{'),
            ':' => self.is_key_next = false,
            _ => {}
        }
        Ok(())
    }

    fn error(&self, message: &str) -> SyntaxError {
        (Some(Position::of(self.text, self.at)), message.to_owned())
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.')
}

/// How long the text in quotes is that `rest` begins with, its quotes included.
fn text_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}
