//! Cron expressions as the calendar events of systemd (`systemd.time(7)`), for timers that run the same.

use croner::CronComponent;

use super::cron::CronExpression;
use crate::time_zone::TimeZone;

/// How the parser of expressions marks the nth weekday of a month, and the last one.
const NTH_BITS: [u8; 5] = [1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5];
const LAST_BIT: u8 = 1 << 6;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// An expression that calendar events can't say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCalendarEvent {
    /// `15W`, `LW`.
    #[error("systemd has no calendar event for the weekday nearest to a day (W)")]
    NearestWeekday,
    /// `+` with `#`.
    #[error(
        "systemd has no calendar event for the nth weekday (#) of certain days of the month (+)"
    )]
    NthOfCertainDays,
}

/// Days of a month that one calendar event can say.
struct Days {
    /// With a space at its end; empty for any.
    weekdays: String,
    /// With what parts it from the month.
    days: String,
}

impl CronExpression {
    /// The calendar events that together come to the same times; more than one where either of two days fits. They differ
    /// where clocks are put forward or back, for which systemd has its own rules.
    ///
    /// # Errors
    /// Where there are none that do.
    pub fn calendar_events(&self, time_zone: TimeZone) -> Result<Vec<String>, NoCalendarEvent> {
        let pattern = &self.cron.pattern;
        let time = [&pattern.hours, &pattern.minutes, &pattern.seconds].map(listed);
        let (time, months) = (time.join(":"), listed(&pattern.months));
        let event = |Days { weekdays, days }: Days| {
            format!("{weekdays}*-{months}{days} {time} {time_zone}")
        };
        Ok(self.days()?.into_iter().map(event).collect())
    }

    fn days(&self) -> Result<Vec<Days>, NoCalendarEvent> {
        let pattern = &self.cron.pattern;
        let of_month = self.days_of_month()?;
        if pattern.is_dow_wildcard() {
            return Ok(of_month.into_iter().map(days_only).collect());
        }
        let of_week = self.days_of_week();
        if pattern.is_dom_wildcard() {
            return Ok(of_week);
        }
        if !pattern.matches_dom_and_dow() {
            let of_month = of_month.into_iter().map(days_only);
            return Ok(of_month.chain(of_week).collect());
        }
        if pattern.days_of_week.has_modifiers() {
            return Err(NoCalendarEvent::NthOfCertainDays);
        }
        let weekdays = weekdays(&pattern.days_of_week.values());
        let both = |days: String| Days {
            weekdays: weekdays.clone(),
            days,
        };
        Ok(of_month.into_iter().map(both).collect())
    }

    fn days_of_month(&self) -> Result<Vec<String>, NoCalendarEvent> {
        // The field for the second may have been left out, and nicknames have none.
        let field = self.cron.as_str().rsplit(' ').nth(2).unwrap_or_default();
        if field.contains('W') {
            return Err(NoCalendarEvent::NearestWeekday);
        }
        let days = &self.cron.pattern.days;
        let mut found = Vec::new();
        if !days.values().is_empty() {
            found.push(format!("-{}", listed(days)));
        }
        if field.contains('L') {
            found.push("~01".to_owned());
        }
        Ok(found)
    }

    fn days_of_week(&self) -> Vec<Days> {
        let field = &self.cron.pattern.days_of_week;
        let mut found = Vec::new();
        let mut add = |values: &[u16], days: String| {
            if !values.is_empty() {
                let weekdays = weekdays(values);
                found.push(Days { weekdays, days });
            }
        };
        add(&field.values(), "-*".to_owned());
        for (nth, bit) in NTH_BITS.into_iter().enumerate() {
            let days = format!("-{:02}..{:02}", 7 * nth + 1, (7 * nth + 7).min(31));
            add(&field.get_set_values(bit), days);
        }
        add(&field.get_set_values(LAST_BIT), "~07/1".to_owned());
        found
    }
}

fn days_only(days: String) -> Days {
    Days {
        weekdays: String::new(),
        days,
    }
}

fn weekdays(values: &[u16]) -> String {
    let names: Vec<&str> = values
        .iter()
        .filter_map(|value| WEEKDAYS.get(usize::from(*value)).copied())
        .collect();
    match names.len() {
        7 => String::new(),
        _ => format!("{} ", names.join(",")),
    }
}

/// The values of a field with commas between, or `*` for all.
fn listed(field: &CronComponent) -> String {
    let values = field.values();
    if values.len() == usize::from(field.max - field.min) + 1 {
        return "*".to_owned();
    }
    let values: Vec<String> = values.iter().map(|value| format!("{value:02}")).collect();
    values.join(",")
}
