//! A proxy before an S3 server that breaks what it is told to: what tests put between a server and its client.
//!
//! A [`Rule`] says which requests meet which [`Fault`], and how often; all others pass as they are. One connection carries one
//! request, so that the end of an answer is the end of its connection, and every byte is the proxy's to give or keep.
//!
//! ```
//! use teeline_fault_proxy::{Answer, Fault, FaultProxy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # let server = "127.0.0.1:9";
//! let proxy = FaultProxy::start(server).await?;
//! proxy.next("PUT", "/manifest.json", Fault::Answer(Answer::error(503, "SlowDown")));
//! assert_eq!((proxy.pending(), proxy.hits()), (1, 0));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod fault;
mod message;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

pub use fault::{Answer, Change, Fault, Rule};
use message::Head;
pub use message::Reply;

/// Is told the first line of each request, which waits until it has ended.
pub type Watcher = Arc<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// Takes connections on a free port of the loopback until it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

pub(crate) struct Shared {
    server: String,
    watcher: Watcher,
    rules: Mutex<Vec<Rule>>,
    hits: AtomicU64,
}

impl FaultProxy {
    /// Before the server at `HOST:PORT`; nothing is broken yet.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start(server: &str) -> io::Result<Self> {
        Self::watched(server, Arc::new(|_| Box::pin(async {}))).await
    }

    /// As [`FaultProxy::start`], with somebody who is told of each request before it meets its fate.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn watched(server: &str, watcher: Watcher) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            watcher,
            rules: Mutex::default(),
            hits: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(FaultProxy {
            address,
            shared,
            accepting: accepting.abort_handle(),
        })
    }

    /// `HOST:PORT` of the proxy.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this happens. Of several rules that fit a request the oldest is taken.
    pub fn add(&self, rule: Rule) {
        self.shared.rules().push(rule);
    }

    /// The next request of `method` with `part` in its path or query meets `fault`.
    pub fn next(&self, method: &str, part: &str, fault: Fault) {
        self.add(Rule::new(method, part, fault).times(1));
    }

    /// From now on nothing is broken.
    pub fn clear(&self) {
        self.shared.rules().clear();
    }

    /// Rules of which something is left to happen.
    pub fn pending(&self) -> usize {
        self.shared.rules().len()
    }

    /// Requests that have met a fault.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// What becomes of the request with this head.
    fn fault(&self, head: &Head) -> Option<Fault> {
        let mut rules = self.rules();
        let at = rules.iter_mut().position(|rule| rule.meets(head))?;
        let fault = rules[at].fault.clone();
        if rules[at].is_used_up() {
            rules.remove(at);
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // With the listener they end as well.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A client that goes away is none of its business.
            let _ = serve::serve(client, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
