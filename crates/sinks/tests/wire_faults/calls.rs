//! The calls that meet the faults, and what has to hold after each.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::{BackupError, Class, ObjectKey, Sink, Upload};

use crate::rows::Comes;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Put,
    Get,
    List,
    Head,
    Delete,
    /// An upload in parts, begun.
    Begin,
    /// Its last part.
    Part,
    /// Its end.
    Complete,
}

pub(crate) const CALLS: [Call; 8] = [
    Call::Put,
    Call::Get,
    Call::List,
    Call::Head,
    Call::Delete,
    Call::Begin,
    Call::Part,
    Call::Complete,
];

/// Two parts, of which the second is small.
const PARTS_BYTES: usize = (5 << 20) + 1_000;

/// How often a call may be too late when nothing is in its way any more.
const LATE_MAX: usize = 10;

impl Call {
    /// The method and a part of the URL that its request is known by.
    pub(crate) fn request(self) -> (&'static str, &'static str) {
        match self {
            Call::Put => ("PUT", "object"),
            Call::Get => ("GET", "object"),
            Call::List => ("GET", "list-type=2"),
            Call::Head => ("HEAD", "object"),
            Call::Delete => ("DELETE", "object"),
            Call::Begin => ("POST", "uploads"),
            Call::Part => ("PUT", "partNumber=2"),
            Call::Complete => ("POST", "uploadId="),
        }
    }

    /// Whether it is one of an upload in parts.
    pub(crate) fn is_in_parts(self) -> bool {
        matches!(self, Call::Begin | Call::Part | Call::Complete)
    }

    /// Whether the object is there once it has succeeded, and not before.
    fn makes_object(self) -> bool {
        self == Call::Put || self.is_in_parts()
    }
}

/// What a call gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Nothing,
    Bytes(Bytes),
    Size(u64),
    Keys(BTreeSet<String>),
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Got::Nothing => f.write_str("a success"),
            Got::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Got::Size(bytes) => write!(f, "a size of {bytes}"),
            Got::Keys(keys) => write!(f, "{keys:?}"),
        }
    }
}

/// A store before and after a call.
pub(crate) struct Scene {
    call: Call,
    /// The store, past the proxy.
    direct: Arc<dyn Sink>,
    upload: Option<Box<dyn Upload>>,
    /// Whether the upload has been given its bytes.
    is_written: bool,
    bytes: Bytes,
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

/// Bytes that nothing else has.
fn noise(length: usize) -> Bytes {
    static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..PARTS_BYTES).map(|_| next()).collect()
    });
    NOISE.slice(..length)
}

impl Scene {
    /// With something beside what is called for, and with that where the call needs it.
    pub(crate) async fn set(call: Call, direct: Arc<dyn Sink>) -> Self {
        let length = if call.is_in_parts() {
            PARTS_BYTES
        } else {
            40_000
        };
        let bytes = noise(length);
        direct.put(&key("other"), noise(1_000)).await.unwrap();
        if !call.makes_object() {
            direct.put(&key("object"), bytes.clone()).await.unwrap();
        }
        Scene {
            call,
            direct,
            upload: None,
            is_written: false,
            bytes,
        }
    }

    /// What comes before the call.
    pub(crate) async fn begin(&mut self, sink: &dyn Sink) {
        if !self.call.is_in_parts() {
            return;
        }
        let expected = self.bytes.len() as u64;
        self.upload = Some(sink.begin(&key("object"), expected).await.unwrap());
        self.is_written = false;
        // The server is told of an upload with its first part; the last one goes with its end.
        if self.call != Call::Begin {
            self.write().await.unwrap();
        }
    }

    /// Gives the upload its bytes, once.
    async fn write(&mut self) -> Result<(), BackupError> {
        if let Some(upload) = self.upload.as_mut().filter(|_| !self.is_written) {
            upload.write(self.bytes.clone()).await?;
            self.is_written = true;
        }
        Ok(())
    }

    pub(crate) async fn make(&mut self, sink: &dyn Sink) -> Result<Got, BackupError> {
        self.write().await?;
        let object = key("object");
        match (self.call, &mut self.upload) {
            (Call::Put, _) => sink.put(&object, self.bytes.clone()).await?,
            (Call::Get, _) => {
                let all = 0..self.bytes.len() as u64;
                return Ok(Got::Bytes(sink.read(&object, all).await?));
            }
            (Call::List, _) => return keys(sink).await.map(Got::Keys),
            (Call::Head, _) => return Ok(Got::Size(sink.head(&object).await?.bytes)),
            (Call::Delete, _) => sink.delete(&object).await?,
            (Call::Begin | Call::Part | Call::Complete, Some(upload)) => upload.commit().await?,
            (Call::Begin | Call::Part | Call::Complete, None) => unreachable!("it was begun"),
        }
        Ok(Got::Nothing)
    }

    /// That what was given is right, and that nothing is damaged.
    pub(crate) async fn check(
        &self,
        result: &Result<Got, BackupError>,
        expected: Comes,
    ) -> Result<(), String> {
        let right = match self.call {
            Call::Put | Call::Delete | Call::Begin | Call::Part | Call::Complete => Got::Nothing,
            Call::Get => Got::Bytes(self.bytes.clone()),
            Call::Head => Got::Size(self.bytes.len() as u64),
            Call::List => Got::Keys(["object", "other"].map(str::to_owned).into()),
        };
        if let Ok(got) = result
            && expected == Comes::Right
            && *got != right
        {
            return Err(format!("{right} was expected, not {got}"));
        }
        let held = self.held().await;
        let is_fine = match (&held, self.call) {
            (Some(held), _) if *held != self.bytes => false,
            (None, call) if call.makes_object() => result.is_err(),
            (Some(_), Call::Delete) => result.is_err(),
            (None, call) => call == Call::Delete,
            (Some(_), _) => true,
        };
        if !is_fine {
            let length = held.map(|held| held.len());
            return Err(format!("what is stored has {length:?} bytes"));
        }
        self.check_other().await
    }

    /// That the same call succeeds once nothing is in its way.
    pub(crate) async fn check_again(&mut self, sink: &dyn Sink) -> Result<(), String> {
        let mut again = self.make(sink).await;
        for _ in 0..LATE_MAX {
            // The deadline may be too short for a machine that is busy.
            let is_late = matches!(&again, Err(error) if error.class() == Class::Transient);
            if !is_late {
                break;
            }
            again = self.make(sink).await;
        }
        self.check(&again, Comes::Right).await?;
        again
            .map(drop)
            .map_err(|error| format!("and then, with nothing in its way: {error:?}"))
    }

    async fn held(&self) -> Option<Bytes> {
        let object = key("object");
        match self.direct.head(&object).await {
            Ok(meta) => Some(self.direct.read(&object, 0..meta.bytes).await.unwrap()),
            Err(error) if error.class() == Class::NotFound => None,
            Err(error) => panic!("past the proxy: {error:?}"),
        }
    }

    async fn check_other(&self) -> Result<(), String> {
        let other = self.direct.read(&key("other"), 0..1_000).await.unwrap();
        let names = keys(&*self.direct).await.unwrap();
        let known = names.iter().all(|name| name == "object" || name == "other");
        match other == noise(1_000) && known {
            true => Ok(()),
            false => Err(format!("something else was touched: {names:?}")),
        }
    }
}

async fn keys(sink: &dyn Sink) -> Result<BTreeSet<String>, BackupError> {
    let items: Vec<_> = sink.list(None).try_collect().await?;
    let keys: BTreeSet<String> = items.iter().map(|item| item.key.to_string()).collect();
    assert_eq!(keys.len(), items.len(), "nothing is listed twice");
    Ok(keys)
}
