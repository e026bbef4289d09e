use proptest::prelude::*;

use super::*;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-23, a Monday, at noon.
const NOW_MS: i64 = 1_795_435_200_000;

fn now() -> Timestamp {
    Timestamp::from_unix_ms(NOW_MS)
}

fn backup(number: usize, started_at_ms: i64, is_verified: bool) -> Retained {
    let started_at = Timestamp::from_unix_ms(started_at_ms);
    let id = format!("full-{}-{number:010}", started_at.for_id());
    Retained {
        id: id.parse().unwrap(),
        started_at,
        is_verified,
        parent: None,
    }
}

/// Backups of three years, several a day now and then, some of them in the future or before there were any.
fn backups() -> impl Strategy<Value = Vec<Retained>> {
    let hour = DAY_MS / 24;
    let time = prop_oneof![
        6 => (0..26_280i64).prop_map(move |hours| NOW_MS - hours * hour),
        3 => (0..200i64).prop_map(move |hours| NOW_MS - hours * hour),
        1 => prop_oneof![Just(NOW_MS + 1), Just(NOW_MS + 400 * DAY_MS), Just(0), Just(946_684_799_999)],
    ];
    prop::collection::vec((time, any::<bool>()), 0..60).prop_map(|made| {
        let number = |(number, (time, is_verified))| backup(number, time, is_verified);
        made.into_iter().enumerate().map(number).collect()
    })
}

fn span() -> impl Strategy<Value = Option<Span>> {
    prop::option::weighted(0.3, (0..400u64).prop_map(Span::from_days))
}

fn retention() -> impl Strategy<Value = Retention> {
    let most = || prop_oneof![Just(0u64), 0..12u64];
    (most(), most(), most(), most(), most(), span(), span()).prop_map(
        |(count, daily, weekly, monthly, yearly, age, keep_within)| Retention {
            count,
            daily,
            weekly,
            monthly,
            yearly,
            age,
            keep_within,
        },
    )
}

fn zone() -> impl Strategy<Value = TimeZone> {
    let names = [
        "UTC",
        "Europe/Berlin",
        "Pacific/Kiritimati",
        "America/St_Johns",
    ];
    prop::sample::select(names.to_vec()).prop_map(|name| name.parse().unwrap())
}

fn kept(judged: &[Judged]) -> Vec<BackupId> {
    let kept = judged.iter().filter(|judged| judged.is_kept());
    kept.map(|judged| judged.id.clone()).collect()
}

fn is_plausible(backup: &Retained) -> bool {
    (PLAUSIBLE_FROM_MS..=NOW_MS).contains(&backup.started_at.unix_ms())
}

/// Of so many periods, the last backup of each: it has none newer in its period, and newer ones in fewer other periods.
fn by_definition(
    backups: &[Retained],
    of: &Retained,
    periods: u64,
    period: impl Fn(&Retained) -> String,
) -> bool {
    let newer: Vec<&Retained> = backups
        .iter()
        .filter(|other| is_plausible(other))
        .filter(|other| (other.started_at, &other.id) > (of.started_at, &of.id))
        .collect();
    let newer_periods: HashSet<String> = newer.iter().map(|newer| period(newer)).collect();
    !newer_periods.contains(&period(of)) && (newer_periods.len() as u64) < periods
}

proptest! {
    #[test]
    fn what_a_rule_keeps_by_its_definition_stays_and_nothing_else(
        backups in backups(), rules in retention(), zone in zone(),
    ) {
        let judged = rules.judge(&backups, now(), zone);
        let plausible: Vec<&Retained> = backups.iter().filter(|it| is_plausible(it)).collect();
        let newest = plausible.iter().map(|it| it.started_at).max();
        let last_verified = plausible
            .iter()
            .filter(|it| it.is_verified)
            .max_by_key(|it| (it.started_at, it.id.clone()));
        for backup in &plausible {
            let date = |it: &Retained| zone.date(it.started_at);
            let of_count = |it: &Retained| it.id.to_string();
            let is_within = |span: Option<Span>, since: Timestamp| {
                span.is_some_and(|span| {
                    ((since.unix_ms() - backup.started_at.unix_ms()) as u64) < span.ms()
                })
            };
            let expected = [
                (Rule::NoRule, rules.is_empty()),
                (Rule::Count, by_definition(&backups, backup, rules.count, of_count)),
                (Rule::Daily, by_definition(&backups, backup, rules.daily, |it| date(it).to_string())),
                (Rule::Weekly, by_definition(&backups, backup, rules.weekly, |it| {
                    let days = date(it).num_days_from_ce() - 1;
                    days.div_euclid(7).to_string()
                })),
                (Rule::Monthly, by_definition(&backups, backup, rules.monthly, |it| {
                    format!("{} {}", date(it).year(), date(it).month())
                })),
                (Rule::Yearly, by_definition(&backups, backup, rules.yearly, |it| date(it).year().to_string())),
                (Rule::Age, is_within(rules.age, now())),
                (Rule::KeepWithin, is_within(rules.keep_within, newest.unwrap())),
                (Rule::LastVerified, last_verified.is_some_and(|last| last.id == backup.id)),
            ];
            let expected: Vec<Rule> = expected.into_iter().filter(|(_, keeps)| *keeps).map(|(rule, _)| rule).collect();
            let of_it = judged.iter().find(|judged| judged.id == backup.id).unwrap();
            let found: Vec<Rule> = of_it.kept_by.iter().map(|kept| kept.rule).collect();
            prop_assert_eq!(found, expected, "{}", backup.id);
        }
    }

    #[test]
    fn a_larger_count_never_makes_a_kept_one_go(
        backups in backups(), rules in retention(), more in retention(), zone in zone(),
    ) {
        prop_assume!(!rules.is_empty());
        let larger = Retention {
            count: rules.count + more.count,
            daily: rules.daily + more.daily,
            weekly: rules.weekly + more.weekly,
            monthly: rules.monthly + more.monthly,
            yearly: rules.yearly + more.yearly,
            age: rules.age.max(more.age),
            keep_within: rules.keep_within.max(more.keep_within),
        };
        let after = kept(&larger.judge(&backups, now(), zone));
        for id in kept(&rules.judge(&backups, now(), zone)) {
            prop_assert!(after.contains(&id), "{id}");
        }
    }

    #[test]
    fn older_backups_change_nothing_for_newer_ones(
        backups in backups(), rules in retention(), zone in zone(), from in 0..60usize,
    ) {
        let all = rules.judge(&backups, now(), zone);
        let newer = &all[..from.min(all.len())];
        let alone: Vec<Retained> = backups.iter().filter(|it| newer.iter().any(|judged| judged.id == it.id)).cloned().collect();
        prop_assert_eq!(rules.judge(&alone, now(), zone), newer);
    }

    #[test]
    fn what_is_left_is_kept_for_the_same_reasons(
        backups in backups(), rules in retention(), zone in zone(),
    ) {
        let first = rules.judge(&backups, now(), zone);
        let left: Vec<Retained> = backups.iter().filter(|it| kept(&first).contains(&it.id)).cloned().collect();
        let second = rules.judge(&left, now(), zone);
        prop_assert!(second.iter().all(Judged::is_kept));
        let kept: Vec<Judged> = first.into_iter().filter(Judged::is_kept).collect();
        prop_assert_eq!(second, kept);
    }

    #[test]
    fn the_order_of_the_input_is_irrelevant(
        (backups, shuffled) in backups().prop_flat_map(|made| (Just(made.clone()), Just(made).prop_shuffle())),
        rules in retention(),
        zone in zone(),
    ) {
        prop_assert_eq!(rules.judge(&backups, now(), zone), rules.judge(&shuffled, now(), zone));
    }

    #[test]
    fn implausible_times_are_left_alone_and_take_nobody_s_place(
        backups in backups(), rules in retention(), zone in zone(),
    ) {
        let (plausible, implausible): (Vec<Retained>, Vec<Retained>) = backups.iter().cloned().partition(is_plausible);
        let judged = rules.judge(&backups, now(), zone);
        for backup in &implausible {
            let of_it = judged.iter().find(|judged| judged.id == backup.id).unwrap();
            prop_assert_eq!(&of_it.kept_by, &[KeptBy::new(Rule::ImplausibleTime)]);
        }
        let others: Vec<Judged> = judged
            .into_iter()
            .filter(|judged| plausible.iter().any(|it| it.id == judged.id))
            .collect();
        prop_assert_eq!(rules.judge(&plausible, now(), zone), others);
    }

    #[test]
    fn a_chain_stays_whole(
        backups in backups(), rules in retention(), zone in zone(), parents in prop::collection::vec(0..60usize, 60),
    ) {
        let mut chained = backups.clone();
        for (at, parent) in parents.iter().enumerate().take(backups.len()) {
            chained[at].parent = backups.get(*parent).map(|parent| parent.id.clone());
        }
        let before = kept(&rules.judge(&backups, now(), zone));
        let after = kept(&rules.judge(&chained, now(), zone));
        prop_assert!(before.iter().all(|id| after.contains(id)));
        for backup in chained.iter().filter(|it| after.contains(&it.id)) {
            prop_assert!(backup.parent.as_ref().is_none_or(|parent| after.contains(parent)), "{}", backup.id);
        }
        // Nothing else is kept than what is needed.
        for judged in rules.judge(&chained, now(), zone) {
            let needing: Vec<&String> = judged.kept_by.iter().filter(|kept| kept.rule == Rule::NeededBy).filter_map(|kept| kept.of.as_ref()).collect();
            let needs_it = |child: &&String| chained.iter().any(|it| it.id.as_str() == child.as_str() && it.parent.as_ref() == Some(&judged.id));
            prop_assert!(needing.iter().all(needs_it));
            prop_assert!(!judged.is_kept() || before.contains(&judged.id) || !needing.is_empty());
        }
    }
}

#[test]
fn days_are_those_of_the_time_zone() {
    // 23:30 and 00:30 in Berlin, on both sides of a midnight; in UTC it is one day.
    let evening = backup(
        1,
        "2026-06-10T21:30:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .unix_ms(),
        false,
    );
    let night = backup(
        2,
        "2026-06-10T22:30:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .unix_ms(),
        false,
    );
    let rules = Retention {
        daily: 7,
        ..Retention::default()
    };
    let in_zone = |name: &str| {
        let judged = rules.judge(
            &[evening.clone(), night.clone()],
            now(),
            name.parse().unwrap(),
        );
        let days = judged.into_iter().flat_map(|judged| judged.kept_by);
        days.filter_map(|kept| kept.of).collect::<Vec<_>>()
    };
    assert_eq!(in_zone("UTC"), ["2026-06-10"]);
    assert_eq!(in_zone("Europe/Berlin"), ["2026-06-11", "2026-06-10"]);
}

#[test]
fn periods_are_named_as_people_name_them() {
    // The first day of 2027 is in the last week of 2026.
    let first = "2027-01-01T12:00:00Z".parse::<Timestamp>().unwrap();
    let rules = Retention {
        count: 1,
        daily: 1,
        weekly: 1,
        monthly: 1,
        yearly: 1,
        age: Some(Span::from_days(3)),
        keep_within: Some(Span::from_days(14)),
    };
    let judged = rules.judge(
        &[backup(1, first.unix_ms(), true)],
        first,
        TimeZone::default(),
    );
    let text = serde_json::to_string(&judged[0].kept_by).unwrap();
    assert_eq!(
        text,
        r#"[{"rule":"count","of":"1"},{"rule":"daily","of":"2027-01-01"},{"rule":"weekly","of":"2026-W53"},"#
            .to_owned()
            + r#"{"rule":"monthly","of":"2027-01"},{"rule":"yearly","of":"2027"},{"rule":"age","of":"3d"},"#
            + r#"{"rule":"keep-within","of":"2w"},{"rule":"last-verified"}]"#
    );
}
