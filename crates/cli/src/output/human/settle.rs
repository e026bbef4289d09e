//! What became of reading again what had changed during a scan, in words.

use teeline::{SettleOutcome, SettledCounts, Settling};

use super::words::grouped;

/// One line, without an end.
pub(super) fn settled(settling: &Settling) -> String {
    let passes = match settling.passes {
        1 => "1 more pass".to_owned(),
        passes => format!("{passes} more passes"),
    };
    let outcome = match settling.outcome {
        SettleOutcome::Settled => format!("settled after {passes}"),
        SettleOutcome::Bound => format!("not settled after {passes}, which is the bound"),
    };
    let changes = [
        ("record", settling.records),
        ("other object", settling.objects),
    ]
    .into_iter()
    .filter_map(|(what, counts)| changes(what, counts));
    let changes: Vec<String> = changes.collect();
    match changes.is_empty() {
        true => format!("{outcome}: nothing had changed"),
        false => format!("{outcome}: {}", changes.join("; ")),
    }
}

fn changes(what: &str, counts: SettledCounts) -> Option<String> {
    let SettledCounts {
        created,
        changed,
        deleted,
    } = counts;
    let parts = [
        (created, "created"),
        (changed, "changed"),
        (deleted, "deleted"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{} {how}", grouped(count)))
        .collect();
    (!parts.is_empty()).then(|| format!("{what}s: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_it_ended_and_what_changed() {
        let mut settling = Settling {
            outcome: SettleOutcome::Settled,
            passes: 1,
            records: SettledCounts::default(),
            objects: SettledCounts::default(),
        };
        assert_eq!(
            settled(&settling),
            "settled after 1 more pass: nothing had changed"
        );
        settling.outcome = SettleOutcome::Bound;
        settling.passes = 5;
        settling.records.created = 1200;
        settling.records.deleted = 1;
        settling.objects.changed = 3;
        assert_eq!(
            settled(&settling),
            "not settled after 5 more passes, which is the bound: records: 1,200 created, 1 deleted; \
             other objects: 3 changed"
        );
    }
}
