//! Text from elsewhere, made fit for a terminal or a log. The name of a resource may hold what moves a cursor, hides what
//! was printed before, or looks like a line of ours.

/// `text` as a part of one line: every control character escaped.
pub fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

/// `text` as lines: every control character escaped, save the ends of lines.
pub fn lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, may_stay: impl Fn(char) -> bool) -> String {
    let mut fit = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !may_stay(character) {
            fit.extend(character.escape_default());
        } else {
            fit.push(character);
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else_is() {
        let name = "naïve \u{1b}[2J\r\nreading \u{9b}1A\t\"日本\"\u{7f}";
        let shown = "naïve \\u{1b}[2J\\r\\nreading \\u{9b}1A\\t\"日本\"\\u{7f}";
        assert_eq!(one_line(name), shown);
        assert_eq!(lines("a\n\u{1b}b\n"), "a\n\\u{1b}b\n");
    }
}
