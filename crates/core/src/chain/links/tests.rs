use proptest::prelude::*;

use super::*;
use crate::digest::Digest;

fn backup(number: usize) -> BackupRef {
    BackupRef {
        id: format!("full-2026-11-23T02-00-00-{number:010}")
            .parse()
            .unwrap(),
        started_at: Timestamp::from_unix_ms(1_795_399_200_000 + i64::try_from(number).unwrap()),
        checksum: Digest::of(&[u8::try_from(number).unwrap()]),
    }
}

/// Backups by number, each with its parent's.
fn links(parents: &[Option<usize>]) -> Links {
    let linked = parents.iter().enumerate().map(|(number, parent)| Linked {
        backup: backup(number),
        parent: parent.map(backup),
    });
    Links::new(linked)
}

#[test]
fn a_chain_is_whole_or_none() {
    let whole = links(&[None, Some(0), Some(1), Some(0)]);
    let chain = whole.chain(&backup(2).id).unwrap();
    assert_eq!(chain, [backup(0), backup(1), backup(2)]);
    assert_eq!(whole.chain(&backup(0).id).unwrap(), [backup(0)]);
    let needing = whole.needing(&backup(0).id);
    assert_eq!(needing, [backup(2), backup(3), backup(1)]);
    assert_eq!(whole.needing(&backup(2).id), []);

    let (absent, id) = (backup(9).id, |number| backup(number).id);
    assert_eq!(whole.chain(&absent), Err(NotAChain::Absent(absent.clone())));
    let broken = Links::new([Linked {
        backup: backup(1),
        parent: Some(backup(0)),
    }]);
    let (child, parent) = (id(1), id(0));
    let error = broken.chain(&child).unwrap_err();
    assert_eq!(error, NotAChain::NoParent { child, parent });
    let other = BackupRef {
        checksum: Digest::of(b"other"),
        ..backup(0)
    };
    let replaced = Links::new([
        Linked {
            backup: other,
            parent: None,
        },
        Linked {
            backup: backup(1),
            parent: Some(backup(0)),
        },
    ]);
    let (child, parent) = (id(1), id(0));
    let error = replaced.chain(&child).unwrap_err();
    assert_eq!(error, NotAChain::OtherParent { child, parent });
    assert_eq!(replaced.lacking(&[backup(0), backup(1)]), [backup(0)]);
    let circle = links(&[Some(1), Some(0)]);
    assert!(matches!(circle.chain(&id(0)), Err(NotAChain::Circle(_))));
    assert_eq!(circle.needing(&id(0)), [backup(1)]);
}

#[test]
fn a_time_takes_the_last_backup_that_had_begun() {
    let links = links(&[None, Some(0), None]);
    let at = |number: usize, ms: i64| {
        let time = backup(number).started_at.unix_ms() + ms;
        links.at(Timestamp::from_unix_ms(time)).cloned()
    };
    assert_eq!(at(0, -1), None);
    assert_eq!(at(0, 0), Some(backup(0)));
    assert_eq!(at(1, 0), Some(backup(1)));
    assert_eq!(at(2, 1_000), Some(backup(2)));
}

proptest! {
    #[test]
    fn what_needs_a_backup_is_what_has_it_in_its_chain(
        parents in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..12),
        of in any::<prop::sample::Index>(),
    ) {
        let parents: Vec<Option<usize>> = parents.iter().enumerate().map(|(number, parent)| {
            parent.filter(|_| number > 0).map(|parent| parent.index(number))
        }).collect();
        let links = links(&parents);
        let of = backup(of.index(parents.len()));
        let needing = links.needing(&of.id);
        for number in 0..parents.len() {
            let chain = links.chain(&backup(number).id).unwrap();
            let is_in = chain.contains(&of) && of != backup(number);
            prop_assert_eq!(is_in, needing.contains(&backup(number)));
        }
        // None goes before what needs it.
        for (place, backup) in needing.iter().enumerate() {
            let chain = links.chain(&backup.id).unwrap();
            prop_assert!(needing[..place].iter().all(|gone| !chain.contains(gone)));
        }
    }
}
