//! The authentication of an index: a gzip member of a fixed size behind all others, with one line in it.

use bytes::Bytes;
use flate2::Crc;

use super::context::Context;
use super::entry::SealedPlace;
use super::sealer::Sealer;
use crate::error::BackupError;
use crate::hex32::Hex32;
use crate::index::Index;

/// RFC 1952, section 2.3: deflate, no flags, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// `{"mac":"…"}` and a newline.
const LINE_BYTES: usize = 8 + 64 + 3;
/// The header, a last stored block (RFC 1951, section 3.2.4), and the CRC and size of the line.
const INDEX_MAC_BYTES: usize = HEADER.len() + 5 + LINE_BYTES + 8;

impl Sealer {
    /// What stands at the end of the index of this data file, whose other bytes are `index`.
    pub(crate) fn index_mac(&self, place: SealedPlace, index: &[u8]) -> Bytes {
        member(self.mac(context(place), index)).into()
    }

    /// Compares an index with its authentication; `subject` names it in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where it is another one, or that of another data file; as
    /// [`Index::parse`].
    pub fn open_index(&self, subject: &str, bytes: &[u8]) -> Result<Index, BackupError> {
        let index = Index::parse(subject, bytes)?;
        let unsealed = || BackupError::corrupt(subject, "it isn't authenticated");
        let place = index.seal.ok_or_else(unsealed)?;
        let split = bytes.len().checked_sub(INDEX_MAC_BYTES);
        let (body, found) = bytes.split_at(split.ok_or_else(unsealed)?);
        let mac = found
            .get(HEADER.len() + 5 + 8..HEADER.len() + 5 + 8 + 64)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| hex.parse::<Hex32>().ok())
            .filter(|mac| member(*mac) == found)
            .ok_or_else(unsealed)?;
        self.check_mac(subject, context(place), body, mac.as_bytes())?;
        Ok(index)
    }
}

fn context(place: SealedPlace) -> Context<'static> {
    Context::Index {
        resource: place.resource(),
        segment: place.segment,
    }
}

fn member(mac: Hex32) -> Vec<u8> {
    let line = format!("{{\"mac\":\"{mac}\"}}\n");
    debug_assert_eq!(line.len(), LINE_BYTES);
    let length = u16::try_from(line.len()).unwrap_or(u16::MAX);
    let mut crc = Crc::new();
    crc.update(line.as_bytes());
    let mut member = HEADER.to_vec();
    member.push(1);
    member.extend(length.to_le_bytes());
    member.extend((!length).to_le_bytes());
    member.extend(line.as_bytes());
    member.extend(crc.sum().to_le_bytes());
    member.extend(u32::from(length).to_le_bytes());
    member
}
