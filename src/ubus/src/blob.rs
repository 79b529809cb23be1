//! The header that ubus attributes and blobmsg elements share: flag, id and length in one big-endian word,
//! then the payload, padded to four bytes.

/// Set on blobmsg elements, which have a name after the header.
pub(crate) const EXTENDED: u32 = 0x8000_0000;
/// The largest length the header can say.
pub(crate) const LENGTH_MASK: u32 = 0x00ff_ffff;
/// Bytes of the header.
pub(crate) const HEADER: usize = 4;

/// The next multiple of four.
pub(crate) const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// One header with its payload.
pub(crate) struct Blob<'a> {
    pub(crate) extended: bool,
    pub(crate) id: u8,
    pub(crate) payload: &'a [u8],
    /// What follows the payload's padding.
    pub(crate) rest: &'a [u8],
}

/// Reads the first blob of `bytes`; `None` if there is none or its length points outside.
pub(crate) fn first(bytes: &[u8]) -> Option<Blob<'_>> {
    let word = u32::from_be_bytes(*bytes.first_chunk::<HEADER>()?);
    let length = (word & LENGTH_MASK) as usize;
    let payload = bytes.get(HEADER..length)?;
    // A last child without its padding is still whole.
    let rest = bytes.get(padded(length)..).unwrap_or_default();
    Some(Blob { extended: word & EXTENDED != 0, id: (word >> 24) as u8 & 0x7f, payload, rest })
}

/// Starts a blob; [`close`] writes its length once the payload is there.
pub(crate) fn open(bytes: &mut Vec<u8>, flags_and_id: u32) -> usize {
    let at = bytes.len();
    bytes.extend_from_slice(&flags_and_id.to_be_bytes());
    at
}

/// Ends the blob begun at `at`: writes its length and its padding.
pub(crate) fn close(bytes: &mut Vec<u8>, at: usize) {
    let length = u32::try_from(bytes.len() - at).unwrap_or(LENGTH_MASK) & LENGTH_MASK;
    for (byte, part) in bytes[at + 1..at + HEADER].iter_mut().zip(&length.to_be_bytes()[1..]) {
        *byte = *part;
    }
    bytes.resize(padded(bytes.len()), 0);
}
