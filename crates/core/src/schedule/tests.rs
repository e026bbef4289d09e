use std::collections::HashSet;

use chrono::{NaiveDateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str) -> CronExpression {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn timing(text: &str, zone: &str, jitter_ms: u64) -> Timing {
    Timing {
        cron: cron(text),
        time_zone: zone.parse().unwrap(),
        jitter: Span::from_ms(jitter_ms),
    }
}

/// A zone, and half a day before its clocks are put forward or back.
const CHANGES: [(&str, &str); 7] = [
    ("America/New_York", "2026-03-07T19:00:00.000Z"),
    ("America/New_York", "2026-10-31T18:00:00.000Z"),
    ("Europe/Berlin", "2026-03-28T13:00:00.000Z"),
    ("Europe/Berlin", "2026-10-24T13:00:00.000Z"),
    // By half an hour.
    ("Australia/Lord_Howe", "2026-04-04T03:00:00.000Z"),
    ("Australia/Lord_Howe", "2026-10-03T03:30:00.000Z"),
    // Which had no 30 December.
    ("Pacific/Apia", "2011-12-29T22:00:00.000Z"),
];

const MINUTE_MS: i64 = 60_000;

fn minutes_later(time: Timestamp, minutes: i64) -> Timestamp {
    Timestamp::from_unix_ms(time.unix_ms() + minutes * MINUTE_MS)
}

/// When an expression of minutes runs in a day, found by looking at the clock each minute.
fn by_watching_the_clock(
    cron: &CronExpression,
    zone: TimeZone,
    start: Timestamp,
) -> Vec<Timestamp> {
    let matches = |wall: NaiveDateTime| cron.cron.is_time_matching(&wall).unwrap();
    let every_hour = (0..24).all(|hour| cron.cron.pattern.hour_match(hour).unwrap());
    let mut shown = HashSet::new();
    let mut last = zone.there(start).naive_local();
    let mut runs = Vec::new();
    for minutes in 1..=24 * 60 {
        let time = minutes_later(start, minutes);
        let wall = zone.there(time).naive_local();
        let is_first_time = shown.insert(wall);
        let mut left_out = Vec::new();
        while last + TimeDelta::minutes(1) < wall {
            last += TimeDelta::minutes(1);
            left_out.push(last);
        }
        last = wall;
        let runs_now = match every_hour {
            true => matches(wall),
            false => (is_first_time && matches(wall)) || left_out.into_iter().any(matches),
        };
        if runs_now {
            runs.push(time);
        }
    }
    runs
}

fn field(max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => (0..=max).prop_map(|value| value.to_string()),
        3 => proptest::collection::vec(0..=max, 2..4).prop_map(|values| {
            values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        }),
        2 => (2..=max / 2).prop_map(|step| format!("*/{step}")),
        2 => (0..max).prop_flat_map(move |from| (Just(from), from..=max))
            .prop_map(|(from, to)| format!("{from}-{to}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_left_out_runs_afterwards_and_what_comes_twice_runs_once(
        minute in field(59),
        hour in prop_oneof![field(23), field(4)],
        change in proptest::sample::select(&CHANGES[..]),
    ) {
        let timing = timing(&format!("{minute} {hour} * * *"), change.0, 0);
        let start = at(change.1);
        let end = minutes_later(start, 24 * 60);
        let runs: Vec<Timestamp> = timing.times_after(start).take_while(|time| *time <= end).collect();
        prop_assert_eq!(&runs, &by_watching_the_clock(&timing.cron, timing.time_zone, start));
        // From wherever it is looked, the next one is the same.
        for run in &runs {
            let before = Timestamp::from_unix_ms(run.unix_ms() - 1);
            prop_assert_eq!(timing.next_after(before), Some(*run));
        }
    }

    #[test]
    fn jitter_is_within_its_bound_and_before_the_next_time(
        minute in field(59),
        hour in field(23),
        jitter_ms in 0..100_000_000_u64,
        after_ms in 0..4_000_000_000_000_i64,
        seed: u64,
    ) {
        let timing = timing(&format!("{minute} {hour} * * *"), "Europe/Berlin", jitter_ms);
        let after = Timestamp::from_unix_ms(after_ms);
        let begins = timing.begins_after(after, seed).unwrap();
        let time = timing.next_after(after).unwrap();
        prop_assert!(time <= begins && time.until(begins).ms() <= jitter_ms);
        prop_assert!(begins < timing.next_after(time).unwrap());
        prop_assert_eq!(timing.begins_after(after, seed), Some(begins));
    }

    #[test]
    fn each_time_is_served_once_however_late_the_engine_looks(
        hours in proptest::collection::vec(field(23), 1..4),
        jitter_ms in 0..7_200_000_u64,
        start_ms in 1_700_000_000_000..1_800_000_000_000_i64,
        pauses in proptest::collection::vec(0..400_000_000_i64, 1..30),
        seed: u64,
    ) {
        let timings: Vec<Timing> =
            hours.iter().map(|hour| timing(&format!("0 {hour} * * *"), "America/New_York", jitter_ms)).collect();
        let mut now = Timestamp::from_unix_ms(start_ms);
        let mut since = vec![now; timings.len()];
        for pause in pauses {
            now = Timestamp::from_unix_ms(now.unix_ms() + pause);
            let awaited: Vec<Awaited<'_>> = timings.iter().zip(&since)
                .map(|(timing, since)| Awaited { timing, since: *since, interrupted: false, seed }).collect();
            let agenda = Agenda::at(now, &awaited);
            let begins = |index: usize| timings[index].begins_after(since[index], seed).unwrap();
            for (index, timing) in timings.iter().enumerate() {
                let is_due = agenda.due.contains(&index);
                prop_assert_eq!(is_due, begins(index) <= now);
                // Without a time in between there is nothing to serve.
                prop_assert!(!is_due || timing.next_after(since[index]).unwrap() <= now);
            }
            prop_assert!(agenda.due.is_sorted_by_key(|index| (begins(*index), *index)));
            if let Some((index, time)) = agenda.next {
                prop_assert!(time > now && !agenda.due.contains(&index));
                prop_assert!((0..timings.len()).all(|other| agenda.due.contains(&other) || begins(other) >= time));
            }
            for index in agenda.due {
                since[index] = now;
            }
            // However much was missed, nothing is left.
            let awaited: Vec<Awaited<'_>> = timings.iter().zip(&since)
                .map(|(timing, since)| Awaited { timing, since: *since, interrupted: false, seed }).collect();
            prop_assert!(Agenda::at(now, &awaited).due.is_empty());
        }
    }

    #[test]
    fn any_text_is_an_expression_or_an_error(text in "[-0-9*/,#LW+?@a-zA-Z ]{0,30}|.{0,40}") {
        if let Ok(cron) = text.parse::<CronExpression>() {
            prop_assert_eq!(&cron.to_string().parse::<CronExpression>().unwrap(), &cron);
            cron.next_after(at("2026-01-01T00:00:00.000Z"), TimeZone::default());
            let _ = cron.calendar_events(TimeZone::default());
        }
    }
}

#[test]
fn a_run_of_the_future_puts_off_nothing() {
    let timing = timing("0 * * * *", "UTC", 0);
    let now = at("2026-11-23T02:30:00.000Z");
    let awaited = Awaited {
        timing: &timing,
        since: at("2099-01-01T00:00:00.000Z"),
        interrupted: false,
        seed: 0,
    };
    let next = Some((0, at("2026-11-23T03:00:00.000Z")));
    assert_eq!(
        Agenda::at(now, &[awaited]),
        Agenda {
            due: Vec::new(),
            next
        }
    );
}

#[test]
fn an_interrupted_run_is_due_again() {
    let timing = timing("0 2 1 * *", "UTC", 0);
    let since = at("2026-11-01T02:00:00.000Z");
    let awaited = |interrupted| Awaited {
        timing: &timing,
        since,
        interrupted,
        seed: 0,
    };
    let now = at("2026-11-01T02:10:00.000Z");
    let agenda = Agenda::at(now, &[awaited(false), awaited(true)]);
    let next = Some((0, at("2026-12-01T02:00:00.000Z")));
    assert_eq!(agenda, Agenda { due: vec![1], next });
}

#[test]
fn several_that_are_due_run_in_turn() {
    let [daily, weekly, monthly] =
        ["0 2 * * *", "0 3 * * 0", "0 4 1 * *"].map(|text| timing(text, "UTC", 0));
    let since = at("2026-10-20T00:00:00.000Z");
    let awaited = [&weekly, &monthly, &daily].map(|timing| Awaited {
        timing,
        since,
        interrupted: false,
        seed: 7,
    });
    let agenda = Agenda::at(at("2026-11-23T00:00:00.000Z"), &awaited);
    assert_eq!(
        agenda,
        Agenda {
            due: vec![2, 0, 1],
            next: None
        }
    );
    let agenda = Agenda::at(at("2026-10-20T02:00:00.000Z"), &awaited);
    let next = Some((0, at("2026-10-25T03:00:00.000Z")));
    assert_eq!(agenda, Agenda { due: vec![2], next });
}

#[test]
fn expressions_are_read_as_cron_has_them() {
    let start = at("2026-11-23T02:00:00.000Z");
    for (text, next) in [
        ("0 2 * * *", "2026-11-24T02:00:00.000Z"),
        ("*/10 * * * * *", "2026-11-23T02:00:10.000Z"),
        ("@weekly", "2026-11-29T00:00:00.000Z"),
        ("0 0 L * *", "2026-11-30T00:00:00.000Z"),
        ("0 0 15W * *", "2026-12-15T00:00:00.000Z"),
        ("0 0 * * FRI#2", "2026-12-11T00:00:00.000Z"),
        ("0 0 * * 5#L", "2026-11-27T00:00:00.000Z"),
        ("0 0 13 * 5", "2026-11-27T00:00:00.000Z"),
        ("0 0 13 * +5", "2027-08-13T00:00:00.000Z"),
        ("0 0 29 FEB *", "2028-02-29T00:00:00.000Z"),
    ] {
        let found = cron(text).next_after(start, TimeZone::default());
        assert_eq!(found, Some(at(next)), "{text}");
    }
    assert_eq!(cron("  0 2  * * * ").to_string(), "0 2 * * *");
}

#[test]
fn what_is_wrong_with_an_expression_is_named() {
    let error = |text: &str| text.parse::<CronExpression>().unwrap_err().to_string();
    for (text, begins) in [
        ("61 2 * * *", "its minute is \"61\"; accepted: 0 to 59"),
        ("0 24 * * *", "its hour is \"24\"; accepted: 0 to 23"),
        (
            "0 2 * * MOON",
            "its day of the week is \"MOON\"; accepted: 0 (Sunday)",
        ),
        ("0 2 * MON *", "its month is \"MON\"; accepted: 1 to 12"),
        ("MON 2 * * *", "its minute is \"MON\"; accepted: 0 to 59"),
        (
            "0 2 0 * *",
            "its day of the month is \"0\"; accepted: 1 to 31",
        ),
        ("70 0 2 * * *", "its second is \"70\"; accepted: 0 to 59"),
        ("0 2 * *", "it has 4 fields; accepted: minute, hour,"),
        (
            "0 0 2 * * * 2027",
            "it has 7 fields; accepted: minute, hour,",
        ),
        ("@often", "it has 1 fields; accepted: minute, hour,"),
        ("", "it has 0 fields; accepted: minute, hour,"),
        ("0 0 30 2 *", "there is no such day in any year"),
    ] {
        assert!(error(text).starts_with(begins), "{text}: {}", error(text));
    }
}

#[test]
fn expressions_are_calendar_events() {
    let events = |text: &str| cron(text).calendar_events("Europe/Berlin".parse().unwrap());
    for (text, expected) in [
        ("0 2 * * *", &["*-*-* 02:00:00 Europe/Berlin"][..]),
        ("@hourly", &["*-*-* *:00:00 Europe/Berlin"]),
        (
            "*/20 3-5 * 1,7 *",
            &["*-01,07-* 03,04,05:00,20,40:00 Europe/Berlin"],
        ),
        ("*/30 * * * * *", &["*-*-* *:*:00,30 Europe/Berlin"]),
        ("0 3 * * 7", &["Sun *-*-* 03:00:00 Europe/Berlin"]),
        (
            "0 0 1,L * *",
            &[
                "*-*-01 00:00:00 Europe/Berlin",
                "*-*~01 00:00:00 Europe/Berlin",
            ],
        ),
        (
            "0 0 13 * 5",
            &[
                "*-*-13 00:00:00 Europe/Berlin",
                "Fri *-*-* 00:00:00 Europe/Berlin",
            ],
        ),
        ("0 0 13 * +5", &["Fri *-*-13 00:00:00 Europe/Berlin"]),
        (
            "0 0 * * 1,5#2",
            &[
                "Mon *-*-* 00:00:00 Europe/Berlin",
                "Fri *-*-08..14 00:00:00 Europe/Berlin",
            ],
        ),
        ("0 0 * * 5#L", &["Fri *-*~07/1 00:00:00 Europe/Berlin"]),
    ] {
        assert_eq!(events(text).unwrap(), expected, "{text}");
    }
    assert_eq!(events("0 0 15W * *"), Err(NoCalendarEvent::NearestWeekday));
    assert_eq!(
        events("0 0 1-9 * +5#1"),
        Err(NoCalendarEvent::NthOfCertainDays)
    );
}
