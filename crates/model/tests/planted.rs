//! The model can fail: with any of the rules broken, it is found.

use teeline_core::StrategyKind;
use teeline_model::{Planted, Scene, Size, walk};

fn is_found(scene: fn(Size) -> Scene, planted: Planted, promise: &str) {
    let walked = walk(scene(Size::SHORT).with(planted), 2);
    let found = walked
        .broken
        .iter()
        .any(|broken| broken.starts_with(promise));
    assert!(found, "{planted:?}: {:?}", walked.broken);
}

fn backup(size: Size) -> Scene {
    Scene::backup(StrategyKind::Quorum(2), size)
}

#[test]
fn a_segment_that_was_not_written() {
    is_found(backup, Planted::FailedSegmentIsBelieved, "P1");
}

#[test]
fn publishing_before_the_verdict_can_be_a_success() {
    is_found(backup, Planted::NobodyWaitsForTheVerdict, "P3");
}

#[test]
fn a_lost_reply_that_is_taken_for_a_failure() {
    is_found(backup, Planted::LostReplyIsFailure, "P2");
}

#[test]
fn a_manifest_that_nobody_looks_before() {
    is_found(Scene::sleeper, Planted::NobodyLooksBeforeTheManifest, "P");
}

#[test]
fn a_manifest_that_nobody_looks_after() {
    is_found(Scene::sleeper, Planted::NobodyLooksAgain, "P2");
}

#[test]
fn a_link_without_its_parent() {
    is_found(Scene::link, Planted::NobodyLooksForTheParent, "P1");
}

#[test]
fn a_withdrawal_that_nobody_looks_after() {
    is_found(Scene::link, Planted::NobodyLooksAfterWithdrawing, "P1");
}

#[test]
fn a_sweep_of_what_was_published_meanwhile() {
    is_found(Scene::sleeper, Planted::NobodyLooksBeforeSweeping, "P3");
}
