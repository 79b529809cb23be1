//! Messages on the ubus socket: an eight byte header, then one blob whose children are the attributes.

use std::io::{self, Read};

/// Message types.
pub mod kind {
    /// The server's greeting.
    pub const HELLO: u8 = 0;
    /// End of an answer, with a status.
    pub const STATUS: u8 = 1;
    /// Part of an answer.
    pub const DATA: u8 = 2;
    /// Asks for an echo.
    pub const PING: u8 = 3;
    /// Asks for objects by path.
    pub const LOOKUP: u8 = 4;
    /// Calls a method, or delivers a notification or an event.
    pub const INVOKE: u8 = 5;
    /// Registers an object.
    pub const ADD_OBJECT: u8 = 6;
    /// Takes it back.
    pub const REMOVE_OBJECT: u8 = 7;
    /// Subscribes an own object to another's notifications.
    pub const SUBSCRIBE: u8 = 8;
    /// Ends that; from the server: the other object is gone.
    pub const UNSUBSCRIBE: u8 = 9;
    /// Publishes a notification; from the server: the first subscriber came or the last went.
    pub const NOTIFY: u8 = 10;
}

/// Attribute numbers.
pub mod attribute {
    /// Status, a number.
    pub const STATUS: u8 = 1;
    /// Path or pattern of an object.
    pub const OBJPATH: u8 = 2;
    /// Id of an object.
    pub const OBJID: u8 = 3;
    /// Name of a method, a notification or an event.
    pub const METHOD: u8 = 4;
    /// Id of an object's type.
    pub const OBJTYPE: u8 = 5;
    /// Methods of an object and their arguments.
    pub const SIGNATURE: u8 = 6;
    /// Arguments or results.
    pub const DATA: u8 = 7;
    /// Id of the object that publishes.
    pub const TARGET: u8 = 8;
    /// Whether there are subscribers.
    pub const ACTIVE: u8 = 9;
    /// No answer is wanted.
    pub const NO_REPLY: u8 = 10;
    /// Who got a notification.
    pub const SUBSCRIBERS: u8 = 11;
    /// User who calls.
    pub const USER: u8 = 12;
    /// Group who calls.
    pub const GROUP: u8 = 13;
}

/// Status codes.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// No such message type or command.
    pub const INVALID_COMMAND: u32 = 1;
    /// An argument lacks or is wrong.
    pub const INVALID_ARGUMENT: u32 = 2;
    /// The object has no such method.
    pub const METHOD_NOT_FOUND: u32 = 3;
    /// No such object, or not for you.
    pub const NOT_FOUND: u32 = 4;
    /// Not allowed.
    pub const PERMISSION_DENIED: u32 = 6;
}

/// Largest outer blob, its header included; also the most bytes that wait for one client.
pub const BLOB_MAX: usize = 1 << 20;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Message type.
    pub kind: u8,
    /// Chosen by who asks, repeated in the answer.
    pub seq: u16,
    /// A client or an object, depending on the type.
    pub peer: u32,
    /// The attributes.
    pub body: Vec<u8>,
}

impl Frame {
    /// A message without attributes.
    pub const fn new(kind: u8, seq: u16, peer: u32) -> Frame {
        Frame { kind, seq, peer, body: Vec::new() }
    }

    /// An answer to `self`: same sequence number and peer, as ubusd copies them.
    pub const fn answer(&self, kind: u8) -> Frame {
        Frame::new(kind, self.seq, self.peer)
    }

    /// Appends an attribute.
    #[must_use]
    pub fn bytes(mut self, id: u8, payload: &[u8]) -> Frame {
        let length = u32::try_from(payload.len() + 4).unwrap_or(u32::MAX) & 0x00ff_ffff;
        self.body.extend_from_slice(&(u32::from(id) << 24 | length).to_be_bytes());
        self.body.extend_from_slice(payload);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// Appends a number.
    #[must_use]
    pub fn number(self, id: u8, number: u32) -> Frame {
        self.bytes(id, &number.to_be_bytes())
    }

    /// Appends a text with its NUL.
    #[must_use]
    pub fn text(self, id: u8, text: &str) -> Frame {
        self.bytes(id, &[text.as_bytes(), &[0]].concat())
    }

    /// The bytes of the wire.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.body.len() + 4).unwrap_or(u32::MAX);
        let mut bytes = vec![0, self.kind];
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.peer.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads one message. A length out of bounds is an error of kind `InvalidData`: ubusd disconnects.
    pub fn read(from: &mut impl Read) -> io::Result<Frame> {
        let mut header = [0; 12];
        from.read_exact(&mut header)?;
        let [_version, kind, seq1, seq2, peer @ .., _, len1, len2, len3] = header;
        let length = u32::from_be_bytes([0, len1, len2, len3]) as usize;
        if length < 4 || length.next_multiple_of(4) > BLOB_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("outer length {length}")));
        }
        let mut body = vec![0; length - 4];
        from.read_exact(&mut body)?;
        Ok(Frame { kind, seq: u16::from_be_bytes([seq1, seq2]), peer: u32::from_be_bytes(peer), body })
    }

    /// Payload of the last attribute with that number. An attribute whose padding the outer length leaves out is
    /// not seen, as in ubusd.
    pub fn get(&self, id: u8) -> Option<&[u8]> {
        let (mut rest, mut found) = (self.body.as_slice(), None);
        while let Some(header) = rest.first_chunk::<4>() {
            let header = u32::from_be_bytes(*header);
            let length = (header & 0x00ff_ffff) as usize;
            if length < 4 || length.next_multiple_of(4) > rest.len() {
                break;
            }
            if (header >> 24) as u8 & 0x7f == id {
                found = Some(&rest[4..length]);
            }
            rest = &rest[length.next_multiple_of(4)..];
        }
        found
    }

    /// The attribute as a number; `None` also if it has not four bytes.
    pub fn get_number(&self, id: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(id)?.try_into().ok()?))
    }

    /// The attribute as a text; `None` also if it is no UTF-8 that ends with NUL.
    pub fn get_text(&self, id: u8) -> Option<&str> {
        std::str::from_utf8(self.get(id)?.strip_suffix(&[0])?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKUP: [u8; 28] = [
        0, 4, 0, 7, 0, 0, 0, 0, 0, 0, 0, 20, 2, 0, 0, 14, b'h', b'o', b's', b't', b'a', b'p', b'd', b'.',
        b'*', 0, 0, 0,
    ];

    #[test]
    fn a_lookup_has_the_bytes_of_the_format() {
        let frame = Frame::new(kind::LOOKUP, 7, 0).text(attribute::OBJPATH, "hostapd.*");
        assert_eq!(frame.encode(), LOOKUP);
        assert_eq!(Frame::read(&mut LOOKUP.as_slice()).unwrap(), frame);
        assert_eq!(frame.get_text(attribute::OBJPATH), Some("hostapd.*"));
    }

    #[test]
    fn an_attribute_without_its_padding_is_not_seen() {
        let mut bytes = LOOKUP;
        bytes[11] = 18;
        let frame = Frame::read(&mut &bytes[..26]).unwrap();
        assert_eq!(frame.get(attribute::OBJPATH), None);
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        for length in [0_u32, 3, (1 << 20) + 1, 0x00ff_ffff] {
            let mut bytes = LOOKUP.to_vec();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let error = Frame::read(&mut bytes.as_slice()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
        let largest = Frame { body: vec![0; BLOB_MAX - 4], ..Frame::new(kind::PING, 1, 0) };
        assert_eq!(Frame::read(&mut largest.encode().as_slice()).unwrap(), largest);
    }
}
