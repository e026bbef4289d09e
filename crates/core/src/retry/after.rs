//! How long an answer of HTTP asks to wait.

use crate::time::Timestamp;

/// Milliseconds that the `Retry-After` of an answer asks for: seconds, or a date, which is held against the server's own `Date`,
/// or against `now` where it says none. `None` where it asks for nothing, or for what can't be understood. `header` gives a header
/// by its name in lower case.
///
/// ```
/// use teeline_core::{Timestamp, retry_after_ms};
///
/// let now = Timestamp::from_unix_ms(0);
/// assert_eq!(retry_after_ms(|name| (name == "retry-after").then_some("3"), now), Some(3_000));
/// let headers = |name: &str| match name {
///     "retry-after" => Some("Mon, 23 Nov 2026 02:00:07 GMT"),
///     "date" => Some("Mon, 23 Nov 2026 02:00:00 GMT"),
///     _ => None,
/// };
/// assert_eq!(retry_after_ms(headers, now), Some(7_000));
/// ```
pub fn retry_after_ms<'a>(
    header: impl Fn(&'static str) -> Option<&'a str>,
    now: Timestamp,
) -> Option<u64> {
    let after = header("retry-after")?.trim();
    if !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time.
        let seconds = after.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000));
    }
    let until = Timestamp::from_http_date(after)?;
    let date = header("date").and_then(Timestamp::from_http_date);
    let now = date.unwrap_or(now);
    Some(now.until(until).ms())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(header: &str, date: Option<&str>) -> Option<u64> {
        let headers = |name| match name {
            "retry-after" => Some(header),
            _ => date,
        };
        retry_after_ms(headers, "2026-11-23T02:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_date_is_held_against_the_servers_clock_first() {
        let header = "Mon, 23 Nov 2026 02:01:00 GMT";
        assert_eq!(after(header, None), Some(60_000));
        assert_eq!(
            after(header, Some("Mon, 23 Nov 2026 02:00:50 GMT")),
            Some(10_000)
        );
        assert_eq!(
            after(header, Some("Mon, 23 Nov 2026 03:00:00 GMT")),
            Some(0)
        );
        assert_eq!(after(header, Some("no date")), Some(60_000));
    }

    #[test]
    fn what_is_neither_asks_for_nothing() {
        for header in ["", " ", "-1", "1.5", "1 s", "Mon, 23 Nov", "\u{7f}"] {
            assert_eq!(after(header, None), None, "{header:?}");
        }
        assert_eq!(after("99999999999999999999999", None), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(header in ".{0,40}", date in proptest::option::of(".{0,40}")) {
            let _ = after(&header, date.as_deref());
        }
    }
}
