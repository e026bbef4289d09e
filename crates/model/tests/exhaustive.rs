//! Every interleaving of each scene, at the size that a test run has time for.

use teeline_model::{Scene, Size, walk};

#[test]
fn no_promise_is_broken_in_any_order() {
    for scene in Scene::all(Size::SHORT) {
        let name = scene.name.clone();
        let walked = walk(scene, 2);
        println!("{name}: {walked}");
        assert!(
            walked.broken.is_empty(),
            "{name}: {}",
            walked.broken.join("\n")
        );
    }
}
