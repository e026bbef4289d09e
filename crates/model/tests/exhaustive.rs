//! Every interleaving of each scene, at the size that a test run has time for.

use teeline_model::{Scene, Size, shortest, walk};

#[test]
fn no_promise_is_broken_in_any_order() {
    for scene in Scene::all(Size::SHORT) {
        let name = scene.name.clone();
        let walked = walk(scene.clone(), 2);
        println!("{name}: {walked}");
        if !walked.broken.is_empty() {
            panic!("{name}: {}", shortest(scene, 2).broken.join("\n"));
        }
    }
}
