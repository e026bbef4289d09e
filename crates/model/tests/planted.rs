//! The model can fail: with any of the rules broken, it is found.

use teeline_core::StrategyKind;
use teeline_model::{Planted, Scene, Size, shortest};

/// Where two things have to go wrong.
const TWICE: Size = Size {
    mishaps: 2,
    ..Size::SHORT
};

fn is_found(scene: fn(Size) -> Scene, planted: Planted, promise: &str) {
    is_found_at(Size::SHORT, scene, planted, promise);
}

fn is_found_at(size: Size, scene: fn(Size) -> Scene, planted: Planted, promise: &str) {
    let walked = shortest(scene(size).with(planted), 2);
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
fn a_withdrawal_that_somebody_else_goes_on_with() {
    is_found(Scene::link, Planted::EverybodyGoesOn, "P3");
}

#[test]
fn a_sweep_that_somebody_else_goes_on_with() {
    is_found(Scene::sleeper, Planted::EverybodyGoesOn, "P");
}

#[test]
fn a_withdrawal_that_nobody_looks_after() {
    is_found(Scene::link, Planted::NobodyLooksAfterWithdrawing, "P1");
}

#[test]
fn a_sweep_of_what_was_published_meanwhile() {
    is_found(Scene::sleeper, Planted::NobodyLooksBeforeSweeping, "P3");
}

#[test]
fn a_sweep_that_is_taken_back_for_the_names_of_its_files() {
    is_found_at(TWICE, Scene::taken_up, Planted::OnlyNamesAreLookedFor, "P");
}

#[test]
fn a_manifest_that_comes_while_its_run_is_swept() {
    is_found_at(
        TWICE,
        Scene::taken_up,
        Planted::NobodyLooksForLateManifests,
        "P",
    );
}

#[test]
fn an_entry_that_goes_after_its_claim() {
    is_found(Scene::swept_at_one, Planted::EntryGoesLast, "P2");
}

#[test]
fn a_claim_that_was_made_anew() {
    is_found(Scene::sync_of_a_run, Planted::AnyClaimWillDo, "P");
}

#[test]
fn a_number_that_nobody_looks_for() {
    is_found(
        Scene::taken_up_at_two,
        Planted::NobodyLooksForAHigherNumber,
        "P3",
    );
}

#[test]
fn a_number_that_is_left_out() {
    is_found_at(
        TWICE,
        Scene::taken_up_at_two,
        Planted::NumbersAreLeftOut,
        "P3",
    );
}

#[test]
fn numbers_where_there_is_a_claim_only() {
    is_found(
        Scene::taken_up_at_two,
        Planted::OnlyClaimedAreNumbered,
        "P3",
    );
}

#[test]
fn numbers_that_nobody_looks_after() {
    is_found(
        Scene::taken_up_at_two,
        Planted::NobodyLooksAfterNumbering,
        "P3",
    );
}

#[test]
fn something_damaged_that_is_not_kept() {
    is_found(Scene::healing, Planted::DamagedIsNotKept, "P3");
}

#[test]
fn a_manifest_that_goes_first_where_the_claim_is_lost() {
    is_found(Scene::healing, Planted::ManifestGoesFirst, "P4");
}

#[test]
fn a_copy_without_a_segment() {
    is_found(Scene::sync, Planted::FailedSegmentIsBelieved, "P1");
}
