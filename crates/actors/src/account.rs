//! What a destination holds of the budget: a share of the lease of every chunk that it was handed and hasn't let go.
//!
//! A lease is back when nobody has a share of it. So it is where the last destination has dropped the chunk, and where the
//! account of a destination that hasn't is closed, which is when the destination is out: a call into the operating system
//! that hangs keeps the bytes that it was given for ever, and would keep the budget from everybody else. What such calls
//! hold, at most what a destination may have outstanding, is memory beside the budget from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::budget::Lease;

/// The account of one destination. Dropped, it is closed.
#[derive(Debug, Default)]
pub(crate) struct Account(Arc<Mutex<Shares>>);

#[derive(Debug, Default)]
struct Shares {
    given: u64,
    held: HashMap<u64, Arc<Lease>>,
}

impl Account {
    /// A handle on `bytes` that has a share of their lease until its last clone is dropped, or the account is closed.
    pub(crate) fn hold(&self, bytes: Bytes, lease: &Arc<Lease>) -> Bytes {
        let mut shares = lock(&self.0);
        shares.given += 1;
        let number = shares.given;
        shares.held.insert(number, Arc::clone(lease));
        Bytes::from_owner(Handle {
            bytes,
            number,
            shares: Arc::clone(&self.0),
        })
    }

    /// What it has shares of, in bytes of the budget.
    pub(crate) fn leased_bytes(&self) -> u64 {
        let shares = lock(&self.0);
        shares.held.values().map(|lease| lease.bytes()).sum()
    }

    /// Whether every handle is dropped.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).held.is_empty()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        lock(&self.0).held.clear();
    }
}

struct Handle {
    bytes: Bytes,
    number: u64,
    shares: Arc<Mutex<Shares>>,
}

impl AsRef<[u8]> for Handle {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.shares).held.remove(&self.number);
    }
}

/// Nothing panics while it holds the lock, and a map is whole between calls anyway.
fn lock(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::budget::{Budget, LEASE_BYTES_MIN};

    const ACCOUNTS: usize = 3;

    /// One thing that happens to the chunks of a pass.
    #[derive(Debug, Clone)]
    enum Action {
        /// The tee gets a chunk of so many bytes and hands it to these destinations.
        Hand(u64, [bool; ACCOUNTS]),
        /// A destination lets go of the chunk with this number, counted round.
        LetGo(usize, usize),
        /// A destination clones its handle, as a retry does, for as long as the test lasts.
        Clone(usize, usize),
        /// A destination is out, and another begins with an account of its own.
        Close(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        let who = 0..ACCOUNTS;
        prop_oneof![
            (1u64..8, any::<[bool; ACCOUNTS]>())
                .prop_map(|(n, to)| Action::Hand(n * LEASE_BYTES_MIN, to)),
            (who.clone(), any::<usize>()).prop_map(|(who, which)| Action::LetGo(who, which)),
            (who.clone(), any::<usize>()).prop_map(|(who, which)| Action::Clone(who, which)),
            who.prop_map(Action::Close),
        ]
    }

    /// What a destination holds: the chunk's number, its size, the handle.
    type Held = Vec<(usize, u64, Bytes)>;

    proptest! {
        #[test]
        fn a_lease_is_out_while_an_open_account_holds_its_chunk(
            actions in proptest::collection::vec(action(), 1..60),
        ) {
            let capacity = 16 * LEASE_BYTES_MIN;
            let budget = Budget::new(capacity);
            let mut accounts: [Account; ACCOUNTS] = Default::default();
            let mut held: [Held; ACCOUNTS] = Default::default();
            let mut abandoned = Vec::new();
            for (number, action) in actions.into_iter().enumerate() {
                match action {
                    Action::Hand(bytes, to) => {
                        let Some(lease) = budget.lease(bytes).now_or_never() else { continue };
                        let lease = Arc::new(lease);
                        let chunk = Bytes::from(vec![7; 10]);
                        for who in (0..ACCOUNTS).filter(|who| to[*who]) {
                            let handle = accounts[who].hold(chunk.clone(), &lease);
                            held[who].push((number, bytes, handle));
                        }
                    }
                    Action::LetGo(who, which) if !held[who].is_empty() => {
                        let which = which % held[who].len();
                        held[who].swap_remove(which);
                    }
                    Action::Clone(who, which) if !held[who].is_empty() => {
                        let which = which % held[who].len();
                        let again = held[who][which].clone();
                        held[who].push(again);
                    }
                    Action::LetGo(..) | Action::Clone(..) => {}
                    Action::Close(who) => {
                        accounts[who] = Account::default();
                        abandoned.append(&mut held[who]);
                    }
                }
                let mut out: Vec<_> = held.iter().flatten().map(|(chunk, bytes, _)| (*chunk, *bytes)).collect();
                out.sort_unstable();
                out.dedup();
                let out: u64 = out.iter().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(budget.free_bytes(), capacity - out);
                for (account, held) in accounts.iter().zip(&held) {
                    prop_assert_eq!(account.is_empty(), held.is_empty());
                }
            }
            prop_assert!(abandoned.iter().all(|(_, _, handle)| handle[..] == [7; 10]), "bytes outlive the lease");
            drop(accounts);
            prop_assert!(budget.is_whole());
        }
    }
}
