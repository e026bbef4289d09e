use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// How far the clocks of a store's servers are from the time, either way.
const SKEW_MS: i64 = 2_000;

/// What happens at a store, one after the other.
#[derive(Debug, Clone)]
enum Step {
    /// A key is written, by a server whose clock is so far from the time: two of these within one second look the same.
    Write(u8, i64),
    Delete(u8),
    /// Time passes.
    Wait(i64),
    /// A scan begins, by the clock of a server, and these happen while it reads: keys are read after so many of them.
    Scan(Vec<Step>, u8, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Object {
    content: u32,
    written_ms: i64,
}

#[derive(Default)]
struct Server {
    now_ms: i64,
    objects: BTreeMap<u8, Object>,
    writes: u32,
}

impl Server {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Write(key, skew_ms) => {
                self.writes += 1;
                let (content, written_ms) = (self.writes, self.now_ms + skew_ms);
                self.objects.insert(
                    *key,
                    Object {
                        content,
                        written_ms,
                    },
                );
            }
            Step::Delete(key) => drop(self.objects.remove(key)),
            Step::Wait(ms) => self.now_ms += ms,
            Step::Scan(..) => {}
        }
    }

    /// To the second, as a server says it whose clock is so far from the time.
    fn time(&self, skew_ms: i64) -> Timestamp {
        Timestamp::from_unix_ms((self.now_ms + skew_ms).div_euclid(1_000) * 1_000)
    }
}

fn seen(object: Object) -> (u64, Option<Timestamp>) {
    // To the second, and the tag of an empty body.
    let time = Some(Timestamp::from_unix_ms(
        object.written_ms.div_euclid(1_000) * 1_000,
    ));
    (version_of(time, Some("d41d8"), 0), time)
}

/// What a chain holds: of each key the version and the content that were read last.
#[derive(Default)]
struct Chain {
    held: BTreeMap<u8, (u64, u32)>,
    parent_began: Option<Timestamp>,
}

impl Chain {
    /// Scans once more; what happens meanwhile comes between the listing and the reading.
    fn scan(
        &mut self,
        server: &mut Server,
        (meanwhile, read_after, skew_ms): (&[Step], u8, i64),
    ) -> usize {
        let began = server.time(skew_ms);
        let listed = server.objects.clone();
        let read_after = usize::from(read_after).min(meanwhile.len());
        meanwhile[..read_after]
            .iter()
            .for_each(|step| server.apply(step));
        let mut reads = 0;
        let young = young_from(self.parent_began);
        for (key, object) in &listed {
            let (version, time) = seen(*object);
            let known = self.held.get(key).map(|(version, _)| *version);
            if judge(known, version, time, young) == Verdict::Unchanged {
                continue;
            }
            reads += 1;
            match server.objects.get(key) {
                Some(found) => {
                    let held = (seen(*found).0, found.content);
                    self.held.insert(*key, held);
                }
                None => drop(self.held.remove(key)),
            }
        }
        self.held.retain(|key, _| listed.contains_key(key));
        meanwhile[read_after..]
            .iter()
            .for_each(|step| server.apply(step));
        self.parent_began = Some(began);
        reads
    }
}

fn quick() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..6, -SKEW_MS..=SKEW_MS).prop_map(|(key, skew_ms)| Step::Write(key, skew_ms)),
        2 => (0_u8..6).prop_map(Step::Delete),
        3 => prop_oneof![0_i64..1_500, 1_000_i64..9_000].prop_map(Step::Wait),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let meanwhile = prop::collection::vec(quick(), 0..6);
    let scan = (meanwhile, 0_u8..7, -SKEW_MS..=SKEW_MS);
    let scan = scan
        .prop_map(|(meanwhile, read_after, skew_ms)| Step::Scan(meanwhile, read_after, skew_ms));
    prop::collection::vec(prop_oneof![4 => quick(), 1 => scan], 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_chain_holds_what_the_server_has_at_the_scan_of_its_last_link(history in history()) {
        let (mut server, mut chain) = (Server::default(), Chain::default());
        for step in &history {
            match step {
                Step::Scan(meanwhile, read_after, skew_ms) => {
                    chain.scan(&mut server, (meanwhile, *read_after, *skew_ms));
                }
                other => server.apply(other),
            }
        }
        chain.scan(&mut server, (&[], 0, 0));
        let held: BTreeMap<u8, u32> =
            chain.held.iter().map(|(key, (_, content))| (*key, *content)).collect();
        let there: BTreeMap<u8, u32> =
            server.objects.iter().map(|(key, object)| (*key, object.content)).collect();
        prop_assert_eq!(held, there);
    }

    #[test]
    fn what_rests_is_read_once_more_at_the_most(history in history()) {
        let (mut server, mut chain) = (Server::default(), Chain::default());
        history.iter().for_each(|step| server.apply(step));
        chain.scan(&mut server, (&[], 0, 0));
        server.apply(&Step::Wait(2 * YOUNG_MS));
        chain.scan(&mut server, (&[], 0, 0));
        prop_assert_eq!(chain.scan(&mut server, (&[], 0, 0)), 0);
    }
}

#[test]
fn listings_and_gets_give_the_same_version() {
    let time = |ms| Some(Timestamp::from_unix_ms(ms));
    let listed = version_of(time(1_500), Some("\"a\""), 3);
    assert_eq!(listed, version_of(time(1_000), Some("a"), 3));
    for other in [
        version_of(time(2_000), Some("a"), 3),
        version_of(None, Some("a"), 3),
        version_of(time(1_000), Some("b"), 3),
        version_of(time(1_000), None, 3),
        version_of(time(1_000), Some("a"), 4),
    ] {
        assert_ne!(listed, other);
    }
}

#[test]
fn what_is_not_known_to_be_old_is_read_again() {
    let time = |seconds: i64| Some(Timestamp::from_unix_ms(seconds * 1_000));
    assert_eq!(judge(Some(1), 1, time(9), time(10)), Verdict::Unchanged);
    assert_eq!(judge(Some(1), 1, time(10), time(10)), Verdict::Again);
    assert_eq!(judge(Some(1), 2, time(9), time(10)), Verdict::Again);
    assert_eq!(judge(Some(1), 1, time(9), None), Verdict::Again);
    assert_eq!(judge(Some(1), 1, None, time(10)), Verdict::Again);
    assert_eq!(judge(None, 1, time(9), time(10)), Verdict::New);
}
