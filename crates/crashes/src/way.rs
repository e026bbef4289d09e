//! The way to the server, on which calls break.

use std::io;

use teeline_core::Random;
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};
use tokio::runtime::{Builder, Runtime};

use crate::Wrong;

/// The first so many calls of a step may meet something; a step makes more of them, or fewer.
const CALLS: u64 = 40;
/// So many of them do, each once.
const FAULTS_MAX: u64 = 3;

/// A proxy before the server, which breaks nothing until it is told to.
pub(crate) struct Way {
    proxy: FaultProxy,
    // Carries the proxy.
    _runtime: Runtime,
}

impl Way {
    /// To the server of a destination as it is typed; and the destination by this way.
    pub(crate) fn to(place: &str) -> Result<(Self, String), Wrong> {
        let host = place.strip_prefix("http://").and_then(|rest| {
            let (authority, _) = rest.split_once('/')?;
            Some(
                authority
                    .rsplit_once('@')
                    .map_or(authority, |(_, host)| host),
            )
        });
        let host = host.ok_or_else(|| "the server isn't one of http://HOST:PORT/".to_owned())?;
        let begun = || -> io::Result<(FaultProxy, Runtime)> {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let proxy = runtime.block_on(FaultProxy::start(host))?;
            Ok((proxy, runtime))
        };
        let (proxy, runtime) =
            begun().map_err(|error| format!("the way can't be begun: {error}"))?;
        let by_it = place.replacen(host, &proxy.address(), 1);
        let way = Way {
            proxy,
            _runtime: runtime,
        };
        Ok((way, by_it))
    }

    /// From now on a few calls meet something that passes.
    pub(crate) fn is_rough(&self, random: &Random) {
        for _ in 0..=random.below(FAULTS_MAX) {
            let faults = [
                Fault::ResetRequest(0),
                Fault::ResetRequest(1_000),
                Fault::LoseReply,
                Fault::ResetReply(20),
                Fault::CutReply(20),
                Fault::Answer(Answer::error(500, "InternalError")),
                Fault::Answer(Answer::error(503, "SlowDown")),
                Fault::Answer(Answer::error(502, "")),
            ];
            let number = usize::try_from(random.below(faults.len() as u64)).unwrap_or(0);
            let rule = Rule::new("", "", faults[number].clone());
            self.proxy.add(rule.after(random.below(CALLS)).times(1));
        }
    }

    /// From some call on the server refuses everything, or takes nothing any more.
    pub(crate) fn ends(&self, random: &Random) {
        let method = ["", "PUT"][usize::from(random.happens(0.5))];
        let refusal = Fault::Answer(Answer::error(403, "AccessDenied"));
        let rule = Rule::new(method, "", refusal);
        self.proxy.add(rule.after(random.below(CALLS)));
    }

    /// One request of `method` meets this, after so many that pass.
    pub(crate) fn breaks_once(&self, method: &str, passing: usize, fault: Fault) {
        let rule = Rule::new(method, "", fault);
        self.proxy.add(rule.after(passing as u64).times(1));
    }

    /// Whether any request has met something.
    pub(crate) fn has_broken(&self) -> bool {
        self.proxy.hits() > 0
    }

    /// From now on everything passes.
    pub(crate) fn is_smooth(&self) {
        self.proxy.clear();
    }
}
