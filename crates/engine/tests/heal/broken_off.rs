//! Whatever call a repair breaks off at, nothing that was there is lost, and the next one goes on.

use teeline::sinks::MemorySink;
use teeline::{BackupId, DestinationSpec, RepairRequest, exit};
use teeline_core::{ObjectKey, layout};

use crate::common::watched::mortal;
use crate::common::{objects, place};
use crate::world::{Harm, World};

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// A store that holds these.
fn filled(name: &str, objects: &Objects) -> MemorySink {
    let sink = MemorySink::new(name);
    for (key, bytes) in objects {
        sink.overwrite(key, bytes);
    }
    sink
}

fn contents(objects: Objects) -> Objects {
    let is_content = |(key, _): &(ObjectKey, Vec<u8>)| !layout::is_damaged(key);
    objects.into_iter().filter(is_content).collect()
}

/// All that was there is there, in its place or moved aside; what marks it as published holds nothing.
async fn assert_nothing_lost(sink: &MemorySink, before: &Objects, about: &str) {
    let now = objects(sink).await;
    for (key, bytes) in before.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let is_it = |(at, there): &(ObjectKey, Vec<u8>)| {
            let stood_at = layout::damaged_at(at);
            there == bytes && (at == key || stood_at.as_ref() == Some(key))
        };
        assert!(now.iter().any(is_it), "{about}: {key}");
    }
}

struct Scene {
    world: World,
    id: BackupId,
    right: Objects,
    /// As [`objects`], of each destination.
    harmed: [Objects; 2],
}

impl Scene {
    /// At the first destination files of every kind are harmed, at the second a chunk that the first has right.
    async fn new() -> Self {
        let world = World::new();
        let id = world.backed_up(|_| ()).await;
        let right = world.contents(0).await;
        let entry = world.files_of(&id, 0);
        let entry = entry
            .iter()
            .find(|key| key.as_str().starts_with("catalog/"));
        for (key, harm) in [
            (world.file(&id, "events.jsonl.gz"), Harm::CutShort),
            (world.file(&id, "events.index"), Harm::Lost),
            (world.file(&id, "run.json"), Harm::Flipped),
            (world.file(&id, "manifest.json"), Harm::Flipped),
            (entry.unwrap().clone(), Harm::Flipped),
        ] {
            world.harm(0, &key, harm).await;
        }
        let data = world.file(&id, "events.jsonl.gz");
        let mut bytes = crate::common::whole(&world.sinks[1], &data).await.to_vec();
        bytes[30] ^= 1;
        world.sinks[1].overwrite(&data, &bytes);
        let harmed = [
            objects(&world.sinks[0]).await,
            objects(&world.sinks[1]).await,
        ];
        Scene {
            world,
            id,
            right,
            harmed,
        }
    }

    /// One of the destinations dies after so many calls; whether it lived to the end.
    async fn one_death(&self, dies: usize, calls: u64) -> bool {
        let about = format!("destination {dies} after {calls} calls");
        let sinks = [
            filled("here", &self.harmed[0]),
            filled("there", &self.harmed[1]),
        ];
        let names = ["here", "there"];
        let at = [0, 1].map(|number| match number == dies {
            true => mortal(&sinks[number], names[number], calls),
            false => place(names[number], sinks[number].clone()),
        });
        let first = self.world.heal_at(&at, &self.id).await;
        for (sink, before) in sinks.iter().zip(&self.harmed) {
            assert_nothing_lost(sink, before, &about).await;
        }
        let at: Vec<DestinationSpec> = names
            .iter()
            .zip(&sinks)
            .map(|(name, sink)| place(name, sink.clone()))
            .collect();
        // It finds by itself what is to be done.
        let next = self.world.engine.repair(RepairRequest::heal(at)).await;
        assert_eq!(next.exit_code(), exit::DONE, "{about}: {next:?}");
        for (sink, before) in sinks.iter().zip(&self.harmed) {
            assert!(contents(objects(sink).await) == self.right, "{about}");
            assert_nothing_lost(sink, before, &about).await;
        }
        first.exit_code() == exit::DONE
    }
}

#[tokio::test]
async fn the_next_repair_goes_on_wherever_one_broke_off() {
    let scene = Scene::new().await;
    for dies in [0, 1] {
        let mut calls = 0;
        while !scene.one_death(dies, calls).await {
            calls += 1;
            assert!(calls < 2000);
        }
        assert!(calls > 50, "it died at every call: {calls}");
    }
}
