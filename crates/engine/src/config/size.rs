//! Sizes in bytes, as people write them.

/// The form of a size, for messages.
pub(super) const SIZE_FORM: &str =
    "an integer, or text such as \"1MiB\" (B, KiB, MiB, GiB, KB, MB, GB)";

const KIB: u64 = 1024;
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kib", KIB),
    ("mib", KIB * KIB),
    ("gib", KIB * KIB * KIB),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

/// Reads digits and a unit. One that is too large for the type is the largest there is, which no bound accepts.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if digits.is_empty() {
        return None;
    }
    Some(
        digits
            .parse::<u64>()
            .unwrap_or(u64::MAX)
            .saturating_mul(*factor),
    )
}

/// A size in the largest binary unit that it is a multiple of.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB)];
    let unit = units
        .into_iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{} {name}", bytes / factor),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_every_unit() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1 B", 1),
            ("3KiB", 3 << 10),
            ("1MiB", 1 << 20),
            ("2 gib", 2 << 30),
            ("3KB", 3_000),
            ("1MB", 1_000_000),
            ("2GB", 2_000_000_000),
            ("0", 0),
            ("99999999999999999999999GiB", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1 TiB", "one", "1MiBs", "1_000"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (4096, "4 KiB"),
            (1 << 20, "1 MiB"),
            (8 << 30, "8 GiB"),
            (1025, "1025 bytes"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }
}
