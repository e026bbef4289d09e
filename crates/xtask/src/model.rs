//! `cargo xtask model`.

use clap::Args;
use teeline_model::{Scene, Size, shortest, walk};

#[derive(Args)]
pub(crate) struct Arguments {
    /// How much of each scene: 1 is what the tests walk, and each further one is many times that
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    size: u8,
    /// Only the scenes whose names have this in them
    #[arg(long, default_value = "")]
    scene: String,
    /// Threads that walk
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut broken = Vec::new();
    let (mut worlds, mut scenes) = (0, 0);
    for scene in Scene::all(Size::of(arguments.size)) {
        if !scene.name.contains(&arguments.scene) {
            continue;
        }
        let name = scene.name.clone();
        let walked = walk(scene.clone(), arguments.threads);
        println!("{name}: {walked}");
        worlds += walked.worlds;
        scenes += 1;
        if !walked.broken.is_empty() {
            let ways = shortest(scene, arguments.threads).broken.into_iter();
            broken.extend(ways.map(|way| format!("{name}: {way}")));
        }
    }
    println!(
        "{scenes} scenes walked to their ends at size {}: {worlds} worlds",
        arguments.size
    );
    match broken.is_empty() {
        true => Ok(()),
        false => Err(broken.join("\n")),
    }
}
