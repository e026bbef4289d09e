//! Addresses: base64 of their bytes, or base 62.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::javascript::{padded_base62, parse_base62, whole};

pub(super) fn read_ip4(text: &str) -> Option<Value> {
    let [a, b, c, d] = <[u8; 4]>::try_from(STANDARD.decode(text).ok()?).ok()?;
    Some(Value::String(format!("{a}.{b}.{c}.{d}")))
}

pub(super) fn write_ip4(value: &Value) -> Option<String> {
    octets(value.as_str()?).map(|octets| STANDARD.encode(octets))
}

fn octets(text: &str) -> Option<[u8; 4]> {
    let octets: Option<Vec<u8>> = text
        .split('.')
        .map(|octet| {
            let digits =
                (1..=3).contains(&octet.len()) && octet.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| octet.parse().ok())?
        })
        .collect();
    octets?.try_into().ok()
}

pub(super) fn read_ip6(text: &str) -> Option<Value> {
    let bytes = <[u8; 16]>::try_from(STANDARD.decode(text).ok()?).ok()?;
    let groups: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    Some(Value::String(shortened(&groups)))
}

/// Leaves the first of the longest runs of two zeros or more out. The standard library would write some addresses of
/// mapped IPv4 with dots.
fn shortened(groups: &[u16]) -> String {
    let (mut start, mut length) = (0, 0);
    let mut at = 0;
    while at < groups.len() {
        let run = groups[at..].iter().take_while(|group| **group == 0).count();
        if run > length {
            (start, length) = (at, run);
        }
        at += run.max(1);
    }
    let hex = |groups: &[u16]| {
        groups
            .iter()
            .map(|group| format!("{group:x}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    if length < 2 {
        return hex(groups);
    }
    format!(
        "{}::{}",
        hex(&groups[..start]),
        hex(&groups[start + length..])
    )
}

pub(super) fn write_ip6(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.contains('.'))?;
    let address: std::net::Ipv6Addr = text.parse().ok()?;
    Some(STANDARD.encode(address.octets()))
}

pub(super) fn read_mac(text: &str) -> Option<Value> {
    let number = (text.len() == 9).then(|| unsigned(text, 1 << 48))??;
    let hex = format!("{number:012x}");
    let pairs: Vec<&str> = (0..6).map(|at| &hex[at * 2..at * 2 + 2]).collect();
    Some(Value::String(pairs.join(":")))
}

pub(super) fn write_mac(value: &Value) -> Option<String> {
    let hex = value.as_str()?.replace(':', "");
    let digits = hex.len() == 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = digits.then(|| u64::from_str_radix(&hex, 16).ok())??;
    Some(padded(number, 9))
}

pub(super) fn read_cidr(text: &str) -> Option<Value> {
    let (address, length) = text
        .split_at_checked(6)
        .filter(|(_, length)| length.len() == 1)?;
    let [a, b, c, d] = u32::try_from(unsigned(address, 1 << 32)?)
        .ok()?
        .to_be_bytes();
    let length = unsigned(length, 62)?;
    Some(Value::String(format!("{a}.{b}.{c}.{d}/{length}")))
}

pub(super) fn write_cidr(value: &Value) -> Option<String> {
    let (address, length) = value.as_str()?.split_once('/')?;
    let address = u32::from_be_bytes(octets(address)?);
    let length: u8 = length.parse().ok()?;
    Some(padded(u64::from(address), 6) + &padded(u64::from(length), 1))
}

/// Base 62 of a number from 0 to below a limit that a double holds exactly.
pub(super) fn unsigned(text: &str, limit: u64) -> Option<u64> {
    let number = parse_base62(text)
        .filter(|_| !text.starts_with('-'))
        .and_then(whole)?;
    u64::try_from(number).ok().filter(|number| *number < limit)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "addresses and codes are below 2^53"
)]
pub(super) fn padded(number: u64, width: usize) -> String {
    padded_base62(number as f64, width)
}
