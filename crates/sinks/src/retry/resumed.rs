//! Streams that go on where they failed: begun again, without what they have given already.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{BackupError, Class, ObjectKey, Sink};

use super::retrier::{Call, Retrier, Success};

/// How far a stream is.
pub(super) trait Progress<'a>: Send {
    type Item: Send + 'a;

    /// Begins it where it is.
    fn begin(&mut self) -> BoxStream<'a, Result<Self::Item, BackupError>>;

    /// Takes the next item.
    fn take(&mut self, item: &Self::Item) -> Taken;
}

/// What an item is.
pub(super) enum Taken {
    /// One that was given before.
    Again,
    /// The same, after so many of them that no other one will come.
    Endless,
    /// One that wasn't.
    New {
        /// Whether so much has come that the next failure is a first one.
        got_on: bool,
    },
}

/// A list, which begins at its beginning.
pub(super) struct Listing<'a, T> {
    start: Start<'a, T>,
    fingerprint: fn(&T) -> Fingerprint,
    given: HashSet<Fingerprint>,
    /// How many came since that were given before.
    again: usize,
}

/// A list that is begun again gives all that it gave before, and a page may come twice. After that, and so many more, nothing new comes: the
/// store answers each page with one that it has given.
const REPEATED_MAX: usize = 10_000;

/// Starts a list.
type Start<'a, T> = Box<dyn Fn() -> BoxStream<'a, Result<T, BackupError>> + Send + 'a>;

/// Of each item that was given 16 bytes: a million of them fit, and no two will be taken for the same.
type Fingerprint = (u64, u64);

/// A range of an object, which begins at the first byte that hasn't come.
pub(super) struct Reading<'a> {
    sink: &'a dyn Sink,
    key: ObjectKey,
    rest: Range<u64>,
    /// How many bytes came since it got on.
    came: u64,
}

impl<'a, T> Listing<'a, T> {
    pub(super) fn new(start: Start<'a, T>, fingerprint: fn(&T) -> Fingerprint) -> Self {
        Listing {
            start,
            fingerprint,
            given: HashSet::new(),
            again: 0,
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(sink: &'a dyn Sink, key: &ObjectKey, range: Range<u64>) -> Self {
        Reading {
            sink,
            key: key.clone(),
            rest: range,
            came: 0,
        }
    }
}

impl<'a, T: Send + 'a> Progress<'a> for Listing<'a, T> {
    type Item = T;

    fn begin(&mut self) -> BoxStream<'a, Result<T, BackupError>> {
        self.again = 0;
        (self.start)()
    }

    fn take(&mut self, item: &T) -> Taken {
        if self.given.insert((self.fingerprint)(item)) {
            self.again = 0;
            return Taken::New { got_on: true };
        }
        self.again += 1;
        match self.again <= self.given.len() + REPEATED_MAX {
            true => Taken::Again,
            false => Taken::Endless,
        }
    }
}

impl<'a> Progress<'a> for Reading<'a> {
    type Item = Bytes;

    fn begin(&mut self) -> BoxStream<'a, Result<Bytes, BackupError>> {
        self.sink.stream(&self.key, self.rest.clone())
    }

    /// It gets on by as much as one call reads: with less, a way that always breaks off would be tried for ever.
    fn take(&mut self, bytes: &Bytes) -> Taken {
        let length = bytes.len() as u64;
        self.rest.start = self.rest.end.min(self.rest.start + length);
        self.came += length;
        let got_on = self.came >= self.sink.capabilities().reading.bytes;
        if got_on {
            self.came = 0;
        }
        Taken::New { got_on }
    }
}

/// All of it, begun again after each failure that gives hope.
pub(super) fn resumed<'a, P: Progress<'a> + 'a>(
    retrier: &'a Retrier,
    progress: P,
) -> BoxStream<'a, Result<P::Item, BackupError>> {
    let resumed = Resumed {
        retrier,
        progress,
        state: State::Begun,
    };
    stream::unfold(resumed, |mut resumed| async move {
        let item = resumed.next().await?;
        Some((item, resumed))
    })
    .boxed()
}

struct Resumed<'a, P: Progress<'a>> {
    retrier: &'a Retrier,
    progress: P,
    state: State<'a, P::Item>,
}

enum State<'a, T> {
    Begun,
    Going {
        items: BoxStream<'a, Result<T, BackupError>>,
        tries: Call<'a>,
    },
    Ended,
}

impl<'a, P: Progress<'a>> Resumed<'a, P> {
    async fn next(&mut self) -> Option<Result<P::Item, BackupError>> {
        let item = self.new_item().await.transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }

    /// The next one that wasn't given.
    async fn new_item(&mut self) -> Result<Option<P::Item>, BackupError> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Begun => {
                    self.state = State::Going {
                        tries: self.retrier.begin(Success::Answer)?,
                        items: self.progress.begin(),
                    };
                }
                State::Going { items, tries } => match items.next().await {
                    Some(Ok(item)) => match self.progress.take(&item) {
                        Taken::Again => {}
                        Taken::Endless => {
                            let message = "the list gives the same again and again";
                            let list = self.retrier.place();
                            return Err(BackupError::new(Class::Permanent, "list", list, message));
                        }
                        Taken::New { got_on } => {
                            if got_on {
                                tries.succeeded();
                            }
                            return Ok(Some(item));
                        }
                    },
                    Some(Err(error)) => {
                        tries.pause_after(error).await?;
                        *items = self.progress.begin();
                    }
                    None => {
                        tries.succeeded();
                        return Ok(None);
                    }
                },
            }
        }
    }
}

pub(super) fn fingerprint(item: &impl Hash) -> Fingerprint {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, item).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use teeline_core::RetryPolicy;

    use super::*;

    #[tokio::test]
    async fn a_list_that_gives_the_same_for_ever_ends() {
        let retrier = Retrier::new("the store".to_owned(), RetryPolicy::default(), 1);
        let page = || stream::iter([1, 2, 3]).cycle().map(Ok).boxed();
        let listing = Listing::new(Box::new(page), fingerprint);
        let mut items = resumed(&retrier, listing);
        for expected in 1..=3 {
            assert_eq!(items.try_next().await.unwrap(), Some(expected));
        }
        let error = items.try_next().await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.to_string().contains("again and again"), "{error}");
        assert_eq!(items.try_next().await.unwrap(), None);
    }
}
