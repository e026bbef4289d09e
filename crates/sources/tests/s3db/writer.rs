//! A database that is written to while it is read, change by change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use teeline_core::Selection;
use teeline_fault_proxy::{FaultProxy, Watcher};
use teeline_sources::s3db::{RawObject, ScanOptions};

use crate::server::{
    Objects, Scanned, Server, catalogue, catalogue_object, entry, noise, record, scan_with, typed,
};

/// What a writer does at once.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Writes a record of a resource, with its entry of an index; whether it is there or not.
    Put { resource: bool, id: u8, name: u8 },
    /// Writes an object again as it is.
    PutAgain { resource: bool, id: u8 },
    /// Deletes a record, with its entries.
    Delete { resource: bool, id: u8 },
    /// Gives a record content of its own, a small or a large one.
    Content { id: u8, is_large: bool, seed: u8 },
    /// Changes the metadata of a large content only.
    Relabel { id: u8, name: u8 },
    /// Writes an object that is no record.
    Object { number: u8, size: u8 },
    /// Deletes one.
    DeleteObject { number: u8 },
    /// Declares a new version of a resource, and writes a record by it.
    Declare { id: u8 },
    /// Creates a resource, and writes a record of it.
    Create { id: u8 },
    /// Takes that resource out of the catalogue; its records stay, as objects.
    Drop,
}

pub(crate) fn changes() -> impl Strategy<Value = Change> {
    let id = 0_u8..12;
    let of_record = (any::<bool>(), id.clone(), any::<u8>());
    prop_oneof![
        6 => of_record.clone().prop_map(|(resource, id, name)| Change::Put { resource, id, name }),
        1 => of_record.clone().prop_map(|(resource, id, _)| Change::PutAgain { resource, id }),
        4 => of_record.prop_map(|(resource, id, _)| Change::Delete { resource, id }),
        1 => (id.clone(), any::<bool>(), any::<u8>())
            .prop_map(|(id, is_large, seed)| Change::Content { id, is_large, seed }),
        1 => (id.clone(), any::<u8>()).prop_map(|(id, name)| Change::Relabel { id, name }),
        2 => (0_u8..6, any::<u8>()).prop_map(|(number, size)| Change::Object { number, size }),
        1 => (0_u8..6).prop_map(|number| Change::DeleteObject { number }),
        1 => id.clone().prop_map(|id| Change::Declare { id }),
        1 => id.prop_map(|id| Change::Create { id }),
        1 => Just(Change::Drop),
    ]
}

/// A database, and what it is to be.
pub(crate) struct Writer {
    pub(crate) server: Server,
    /// As it is, below the prefix.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    /// Of the catalogue, which is among the objects.
    catalogue: Bytes,
    /// So that each change is one.
    number: u32,
}

pub(crate) const PREFIX: &str = "db/";

fn resource_name(resource: bool) -> &'static str {
    match resource {
        true => "users",
        false => "log",
    }
}

impl Writer {
    pub(crate) async fn start() -> Arc<Self> {
        Self::over(Server::start().await).await
    }

    pub(crate) async fn over(server: Server) -> Arc<Self> {
        let writer = Arc::new(Writer {
            server,
            state: Mutex::default(),
        });
        let catalogue = catalogue(&[("users", "user-managed"), ("log", "body-overflow")]);
        writer.state.lock().unwrap().catalogue = catalogue.clone();
        writer.put("s3db.json", catalogue_object(&catalogue)).await;
        writer
    }

    async fn put(&self, key: &str, object: RawObject) {
        let known = self.state.lock().unwrap().objects.get(key).cloned();
        assert!(known.is_none_or(|known| known != object), "{key} changes");
        self.put_again(key, object).await;
    }

    async fn put_again(&self, key: &str, object: RawObject) {
        self.server
            .put(&format!("{PREFIX}{key}"), object.clone())
            .await;
        let mut state = self.state.lock().unwrap();
        state.objects.insert(key.to_owned(), object);
    }

    async fn delete(&self, key: &str) {
        self.server.delete(&format!("{PREFIX}{key}")).await;
        self.state.lock().unwrap().objects.remove(key);
    }

    fn next_number(&self) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.number += 1;
        state.number
    }

    pub(crate) fn object(&self, key: &str) -> Option<RawObject> {
        self.state.lock().unwrap().objects.get(key).cloned()
    }

    pub(crate) async fn put_record(&self, resource: &str, id: u8, name: u8) {
        let number = self.next_number();
        let document =
            json!({ "id": format!("i{id}"), "name": format!("n{name}"), "size": number });
        let catalogue = self.state.lock().unwrap().catalogue.clone();
        let (key, object) = record(&catalogue, resource, document);
        self.put(&key, object).await;
        let key = format!(
            "resource={resource}/partition=byName/name=n{}/id=i{id}",
            name % 4
        );
        self.put_again(&key, entry()).await;
    }

    /// Writes records of `users`, without entries, many at a time.
    pub(crate) async fn put_many(&self, numbers: impl IntoIterator<Item = u32>, size: u32) {
        let catalogue = self.state.lock().unwrap().catalogue.clone();
        let objects = numbers.into_iter().map(|number| {
            let document = json!({ "id": format!("m{number}"), "name": "many", "size": size });
            record(&catalogue, "users", document)
        });
        let objects: Objects = objects.collect();
        self.server.put_all(PREFIX, &objects).await;
    }

    async fn declare(&self, change: impl FnOnce(&mut Value)) {
        let bytes = self.state.lock().unwrap().catalogue.clone();
        let mut catalogue: Value = serde_json::from_slice(&bytes).unwrap();
        catalogue["lastUpdated"] = self.next_number().into();
        change(&mut catalogue);
        let bytes = Bytes::from(format!("{catalogue:#}"));
        self.put("s3db.json", catalogue_object(&bytes)).await;
        self.state.lock().unwrap().catalogue = bytes;
    }

    /// Makes a change, if there is one to make.
    pub(crate) async fn make(&self, change: &Change) {
        match *change {
            Change::Put { resource, id, name } => {
                self.put_record(resource_name(resource), id, name).await;
            }
            Change::PutAgain { resource, id } => {
                let key = format!("resource={}/data/id=i{id}", resource_name(resource));
                if let Some(object) = self.object(&key) {
                    self.put_again(&key, object).await;
                }
            }
            Change::Delete { resource, id } => {
                let resource = resource_name(resource);
                self.delete(&format!("resource={resource}/data/id=i{id}"))
                    .await;
                for name in 0..4 {
                    let entries = format!("resource={resource}/partition=byName/name=n{name}");
                    self.delete(&format!("{entries}/id=i{id}")).await;
                }
            }
            Change::Content { id, is_large, seed } => {
                let number = self.next_number();
                let mut body = noise(if is_large { 300 << 10 } else { 100 });
                body[usize::from(seed % 100)] ^= 1;
                let metadata = [("_v", "v1".to_owned()), ("0", format!("c{number}"))];
                let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
                let object = RawObject {
                    metadata: metadata.into(),
                    ..typed("image/png", body)
                };
                self.put(&format!("resource=users/data/id=i{id}"), object)
                    .await;
            }
            Change::Relabel { id, name } => {
                let key = format!("resource=users/data/id=i{id}");
                if let Some(mut object) = self.object(&key) {
                    let label = format!("{name}-{}", self.next_number());
                    object.metadata.insert("0".to_owned(), label);
                    self.put(&key, object).await;
                }
            }
            Change::Object { number, size } => {
                let mut body = noise(usize::from(size));
                body.extend_from_slice(&self.next_number().to_ne_bytes());
                self.put(&format!("plugin=x/{number}"), typed("a/b", body))
                    .await;
            }
            Change::DeleteObject { number } => {
                self.delete(&format!("plugin=x/{number}")).await;
            }
            Change::Declare { id } => {
                let next = format!("v{}", self.next_number() + 1);
                self.declare(|catalogue| {
                    let users = &mut catalogue["resources"]["users"];
                    let mut version = users["versions"]["v1"].clone();
                    version["attributes"]["more"] = "string|optional".into();
                    version["behavior"] = "body-only".into();
                    users["versions"][&next] = version;
                    users["currentVersion"] = next.into();
                    users["schemaRegistry"]["mapping"]["more"] = 3.into();
                    users["schemaRegistry"]["nextIndex"] = 4.into();
                })
                .await;
                self.put_record("users", id, 0).await;
            }
            Change::Create { id } => {
                self.declare(|catalogue| {
                    let resources = &mut catalogue["resources"];
                    resources["fresh"] = resources["log"].clone();
                })
                .await;
                self.put_record("fresh", id, 0).await;
            }
            Change::Drop => {
                self.declare(|catalogue| {
                    let resources = catalogue["resources"].as_object_mut().unwrap();
                    resources.remove("fresh");
                })
                .await;
            }
        }
    }

    /// A scan during which, before some requests, changes are made: those of a pass (of which the first reading is the
    /// first) while that is under way, and one right before it.
    pub(crate) async fn scan(
        self: &Arc<Self>,
        passes: Vec<Vec<Change>>,
        passes_max: u32,
    ) -> Scanned {
        let writing = Arc::new(tokio::sync::Mutex::new(Schedule {
            passes: passes.into_iter().map(Into::into).collect(),
            pass: 0,
            requests: 0,
        }));
        let writer = Arc::clone(self);
        let watcher: Watcher = Arc::new(move |request| {
            let (writer, writing) = (Arc::clone(&writer), Arc::clone(&writing));
            Box::pin(async move {
                let mut writing = writing.lock().await;
                if let Some(change) = writing.due(&request) {
                    writer.make(&change).await;
                }
            })
        });
        let proxy = FaultProxy::watched(self.server.address(), watcher)
            .await
            .unwrap();
        let connection = self
            .server
            .connection_over(&proxy.address(), PREFIX.trim_end_matches('/'));
        let options = ScanOptions {
            settle_passes_max: passes_max,
            piece_bytes: 100 << 10,
            ..ScanOptions::default()
        };
        scan_with(&connection, options, Selection::everything())
            .await
            .unwrap()
    }
}

/// What is to be changed in each pass.
struct Schedule {
    passes: Vec<VecDeque<Change>>,
    /// Passes that have begun.
    pass: usize,
    requests: u32,
}

impl Schedule {
    /// What is to be changed before a request is passed on.
    fn due(&mut self, request: &str) -> Option<Change> {
        self.requests += 1;
        // Each pass begins with a look at the server's clock.
        let begins = request.contains("max-keys=1&");
        self.pass += usize::from(begins);
        let changes = self.passes.get_mut(self.pass.checked_sub(1)?)?;
        match begins {
            true => changes.pop_front(),
            false if self.requests.is_multiple_of(2) => changes.pop_front(),
            false => None,
        }
    }
}
