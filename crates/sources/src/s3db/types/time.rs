//! Times: base 62 of milliseconds, or days, since 1970; days are those of the proleptic Gregorian calendar.

use serde_json::Value;

use super::super::javascript::{base62, parse_base62, round, whole};

const DAY: i64 = 86_400_000;
/// The range of a date in JavaScript.
const MILLIS_MAX: i64 = 8_640_000_000_000_000;

fn read_whole(text: &str) -> Option<i64> {
    parse_base62(text).and_then(whole)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of dates are below 2^53"
)]
fn write_whole(value: i64) -> String {
    base62(value as f64)
}

pub(super) fn read_datetime(text: &str) -> Option<Value> {
    let millis = read_whole(text).filter(|millis| millis.abs() <= MILLIS_MAX)?;
    let date = date_text(millis.div_euclid(DAY));
    Some(Value::String(format!(
        "{date}T{}Z",
        clock_text(millis.rem_euclid(DAY))
    )))
}

pub(super) fn write_datetime(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let millis = parse_own(text).or_else(|| {
        let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
        Some(time.timestamp_millis())
    });
    millis
        .or_else(|| Some(parse_date(text)? * DAY))
        .filter(|millis| millis.abs() <= MILLIS_MAX)
        .map(write_whole)
}

pub(super) fn read_date(text: &str) -> Option<Value> {
    // s3db.js cuts the text at ten characters, so other years don't fit.
    let days = read_whole(text)?;
    let date = (days.abs() <= MILLIS_MAX / DAY).then(|| date_text(days))?;
    (date.len() == 10).then_some(Value::String(date))
}

pub(super) fn write_date(value: &Value) -> Option<String> {
    parse_date(value.as_str()?).map(write_whole)
}

pub(super) fn read_time(text: &str) -> Option<Value> {
    let millis = read_whole(text).filter(|millis| (0..100 * 3_600_000).contains(millis))?;
    Some(Value::String(clock_text(millis)))
}

pub(super) fn write_time(value: &Value) -> Option<String> {
    parse_clock(value.as_str()?).map(write_whole)
}

/// `P[nD][T[nH][nM][n[.mmm]S]]`, or `PT0S`.
pub(super) fn read_duration(text: &str) -> Option<Value> {
    if is_unknown_duration(text) {
        return None;
    }
    let millis = read_whole(text).filter(|millis| *millis >= 0)?;
    let (days, rest) = (millis / DAY, millis % DAY);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
    let part = |amount: i64, unit: &str| {
        if amount > 0 {
            format!("{amount}{unit}")
        } else {
            String::new()
        }
    };
    let date = part(days, "D");
    let seconds = if millis > 0 {
        format!("{seconds}.{millis:03}S")
    } else {
        part(seconds, "S")
    };
    let clock = part(hours, "H") + &part(minutes, "M") + &seconds;
    let duration = match (date.is_empty(), clock.is_empty()) {
        (true, true) => "PT0S".to_owned(),
        (false, true) => format!("P{date}"),
        (_, false) => format!("P{date}T{clock}"),
    };
    Some(Value::String(duration))
}

/// Years, months and weeks, which s3db.js doesn't count in milliseconds: it stores them as they are.
fn is_unknown_duration(text: &str) -> bool {
    let mut parts = text
        .strip_prefix('P')
        .map(|parts| parts.split_inclusive(|c: char| !c.is_ascii_digit()));
    let is_part = |part: &str| {
        let amount = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        part == "T" || !amount.is_empty() && "YMWDHS".contains(&part[amount.len()..])
    };
    let is_duration = parts.as_mut().is_some_and(|parts| parts.all(is_part));
    is_duration && write_duration(&Value::String(text.to_owned())).is_none()
}

pub(super) fn write_duration(value: &Value) -> Option<String> {
    let mut rest = value.as_str()?.strip_prefix('P')?;
    let mut seconds = 0.0;
    let mut in_day = false;
    let mut units = "DHMS";
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T').filter(|_| !in_day) {
            (in_day, rest, units) = (true, after, "HMS");
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, unit) = (&rest[..end], rest[end..].chars().next()?);
        let at = units.find(unit)?;
        let factor = match unit {
            'D' if !in_day => 86_400.0,
            'H' if in_day => 3600.0,
            'M' if in_day => 60.0,
            'S' if in_day => 1.0,
            _ => return None,
        };
        if unit != 'S' && amount.contains('.') || !amount.starts_with(|c: char| c.is_ascii_digit())
        {
            return None;
        }
        seconds += amount.parse::<f64>().ok()? * factor;
        units = &units[at + 1..];
        rest = &rest[end + 1..];
    }
    Some(base62(round(seconds * 1000.0)))
}

/// `YYYY-MM-DD`, with a sign and six digits for years that four don't hold.
fn date_text(days: i64) -> String {
    // Days are counted from 0000-03-01, so that leap days end a year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        let sign = if year < 0 { '-' } else { '+' };
        format!("{sign}{:06}-{month:02}-{day:02}", year.abs())
    }
}

fn clock_text(millis: i64) -> String {
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", millis % 1000)
}

/// The form that [`read_datetime`] gives.
fn parse_own(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock = (clock.len() == 12)
        .then(|| parse_clock(clock))
        .flatten()
        .filter(|millis| *millis < DAY)?;
    Some(parse_date(date)? * DAY + clock)
}

fn parse_date(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let year_digits = if digits.len() == text.len() { 4 } else { 6 };
    let mut parts = digits.split('-');
    let mut number = |width: usize| {
        let part = parts.next()?;
        (part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i64>().ok())?
    };
    let (year, month, day) = (number(year_digits)?, number(2)?, number(2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if negative { -year } else { year };
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.mmm`.
fn parse_clock(text: &str) -> Option<i64> {
    let (clock, millis) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str, width: usize| {
        (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<i64>().ok())?
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] if clock == text => (hours, minutes, "00"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let millis = (1..=3)
        .contains(&millis.len())
        .then(|| number(&format!("{millis:0<3}"), 3))??;
    Some(
        ((number(hours, 2)? * 60 + number(minutes, 2)?) * 60 + number(seconds, 2)?) * 1000 + millis,
    )
}
