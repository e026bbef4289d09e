//! What all reports put the same: states, numbers, columns.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{CopyState, DestinationWarning, LastVerified, RunStatus, VerificationResult};

pub(super) fn of_run(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Completed => "completed",
        RunStatus::Degraded => "completed, but not everywhere,",
        RunStatus::Failed => "failed",
    }
}

pub(super) fn of_copy(state: CopyState) -> &'static str {
    match state {
        CopyState::Ok => "ok",
        CopyState::Attested => "attested",
        CopyState::Damaged => "damaged",
        CopyState::Absent => "absent",
        CopyState::NotTaken => "not taken",
        CopyState::Behind => "behind",
        CopyState::Withdrawn => "withdrawn",
        CopyState::Unreachable => "unreachable",
    }
}

/// Which resources were asked for, and which left out: `all`, `users, orders`, `all but cache_*`.
pub(super) fn resources(include: &[String], exclude: &[String]) -> String {
    let asked_for = match include {
        [] => "all".to_owned(),
        some => some.join(", "),
    };
    let text = match exclude {
        [] => asked_for,
        some => format!("{asked_for} but {}", some.join(", ")),
    };
    one_line(&text)
}

/// When a copy was verified, and how: `2026-11-23T02:00:00.000Z digest`.
pub(super) fn of_check(check: &LastVerified) -> String {
    let damage = match check.result {
        VerificationResult::Ok => "",
        VerificationResult::Damaged => ", damaged",
    };
    format!("{} {}{damage}", check.at, check.how)
}

/// What somebody should know of destinations, a line each.
pub(super) fn warned(warnings: &[DestinationWarning]) -> String {
    let line = |warning: &DestinationWarning| {
        let (name, message) = (&warning.destination, &warning.message);
        format!("warning: {}: {}\n", one_line(name), one_line(message))
    };
    warnings.iter().map(line).collect()
}

/// Columns as wide as they need to be, two spaces apart.
pub(in crate::output) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1 record`, `5,000 records`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

/// Records and plain megabytes a second.
pub(super) fn rates(records: u64, plain_bytes: u64, milliseconds: u64) -> String {
    let milliseconds = u128::from(milliseconds.max(1));
    let records = u64::try_from(u128::from(records) * 1000 / milliseconds).unwrap_or(u64::MAX);
    // Hundredths of a megabyte (10⁶ bytes).
    let hundredths = u128::from(plain_bytes) / 10 / milliseconds;
    format!(
        "{} records/s, {}.{:02} MB/s plain",
        grouped(records),
        hundredths / 100,
        hundredths % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567]
                .map(grouped)
                .each_ref()
                .map(String::as_str)
        );
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(5000, "record"), "5,000 records");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(seconds(1207), "1.207 s");
        assert_eq!(
            rates(5000, 3_000_000, 2000),
            "2,500 records/s, 1.50 MB/s plain"
        );
        assert_eq!(rates(5, 10, 0), "5,000 records/s, 0.01 MB/s plain");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "long".to_owned()],
            vec!["bcd".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), "a    long\nbcd\n");
        let rows = [vec!["a\nb".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a\\nb  c\n");
    }
}
