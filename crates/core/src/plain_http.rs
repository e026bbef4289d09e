//! Addresses whose traffic others on the way can read and change.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The host of an `http://` address that isn't this machine itself: what is sent there can be read on its way.
///
/// ```
/// use teeline_core::plain_http_host;
///
/// assert_eq!(plain_http_host("http://KEY:SECRET@store.example:9000/bucket"), Some("store.example"));
/// assert_eq!(plain_http_host("http://127.0.0.1:9000"), None);
/// assert_eq!(plain_http_host("https://store.example"), None);
/// ```
pub fn plain_http_host(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next()?,
        None => authority.split(':').next()?,
    };
    let is_here = match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    (!is_here).then_some(host)
}

/// As [`plain_http_host`], but each host only once in a process: for who warns.
pub fn new_plain_http_host(address: &str) -> Option<&str> {
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let host = plain_http_host(address)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(host.to_owned()).then_some(host)
}

/// What is said of such a host when it is about to be used.
pub const PLAIN_HTTP_WARNING: &str = "what goes there isn't encrypted on its way: use https://, or seal backups and trust the network";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_warns_does_so_once() {
        let address = "http://warned.example:9000";
        assert_eq!(new_plain_http_host(address), Some("warned.example"));
        assert_eq!(new_plain_http_host(address), None);
        assert_eq!(new_plain_http_host("http://localhost"), None);
    }

    #[test]
    fn only_this_machine_is_trusted_without_encryption() {
        for here in [
            "http://localhost:9000",
            "http://LOCALHOST/bucket",
            "http://127.8.0.1",
            "http://[::1]:9000/bucket",
            "https://store.example",
            "",
        ] {
            assert_eq!(plain_http_host(here), None, "{here}");
        }
        for (there, host) in [
            ("http://10.0.0.7:9000", "10.0.0.7"),
            ("http://[fd00::7]:9000", "fd00::7"),
            ("http://minio/bucket?x=1", "minio"),
            ("http://localhost.example", "localhost.example"),
            ("http://id:se@cret@store:1/b", "store"),
        ] {
            assert_eq!(plain_http_host(there), Some(host), "{there}");
        }
    }
}
