//! Messages on the ubus socket: the header, the attributes behind it, and cutting a byte stream into messages.

use std::fmt;

use crate::blob::{self, LENGTH_MASK};
use crate::blobmsg::Elements;

/// Largest outer blob, header included, that ubusd sends or takes.
pub const OUTER_MAX: usize = 1 << 20;

/// Bytes before the attributes: version, type, sequence, peer and the outer blob's header.
const HEADER: usize = 12;
/// Bytes before the outer blob.
const BEFORE_OUTER: usize = 8;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server's greeting.
    Hello,
    /// The end of an answer.
    Status,
    /// Part of an answer.
    Data,
    /// Is anybody there.
    Ping,
    /// List objects.
    Lookup,
    /// Call a method; also how notifications and events arrive.
    Invoke,
    /// Make an object.
    AddObject,
    /// Remove one.
    RemoveObject,
    /// Receive an object's notifications.
    Subscribe,
    /// No longer receive them; from the server: the object is gone.
    Unsubscribe,
    /// To subscribers; from the server: there are some.
    Notify,
    /// Debugging.
    Monitor,
    /// None of ubus's types.
    Unknown(u8),
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Hello => 0,
            Kind::Status => 1,
            Kind::Data => 2,
            Kind::Ping => 3,
            Kind::Lookup => 4,
            Kind::Invoke => 5,
            Kind::AddObject => 6,
            Kind::RemoveObject => 7,
            Kind::Subscribe => 8,
            Kind::Unsubscribe => 9,
            Kind::Notify => 10,
            Kind::Monitor => 11,
            Kind::Unknown(number) => number,
        }
    }

    fn from_number(number: u8) -> Kind {
        match number {
            0 => Kind::Hello,
            1 => Kind::Status,
            2 => Kind::Data,
            3 => Kind::Ping,
            4 => Kind::Lookup,
            5 => Kind::Invoke,
            6 => Kind::AddObject,
            7 => Kind::RemoveObject,
            8 => Kind::Subscribe,
            9 => Kind::Unsubscribe,
            10 => Kind::Notify,
            11 => Kind::Monitor,
            number => Kind::Unknown(number),
        }
    }
}

/// Attribute numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Attribute {
    /// Status code.
    Status = 1,
    /// Object path.
    ObjPath = 2,
    /// Object id.
    ObjId = 3,
    /// Method, notification or event.
    Method = 4,
    /// Object type id.
    ObjType = 5,
    /// Methods of an object.
    Signature = 6,
    /// Arguments or answer, blobmsg.
    Data = 7,
    /// Other object.
    Target = 8,
    /// Has subscribers.
    Active = 9,
    /// No answer is wanted.
    NoReply = 10,
    /// Subscribers.
    Subscribers = 11,
    /// User of the caller.
    User = 12,
    /// Group of the caller.
    Group = 13,
}

const ATTRIBUTES: usize = 14;

/// A message in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// Chosen by whoever began the exchange.
    pub seq: u16,
    /// A client's or an object's id.
    pub peer: u32,
    /// The attributes.
    pub body: &'a [u8],
}

/// A message that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMessage {
    kind: Kind,
    seq: u16,
    peer: u32,
    body: Box<[u8]>,
}

impl OwnedMessage {
    /// The message.
    pub fn message(&self) -> Message<'_> {
        Message { kind: self.kind, seq: self.seq, peer: self.peer, body: &self.body }
    }
}

impl<'a> Message<'a> {
    /// A copy that outlives the buffer.
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage { kind: self.kind, seq: self.seq, peer: self.peer, body: self.body.into() }
    }

    /// Its attributes, found by number in any order; what is in them is not read yet.
    pub fn attributes(&self) -> Attributes<'a> {
        let mut slots = [None; ATTRIBUTES];
        let mut rest = self.body;
        while let Some(blob) = blob::first(rest) {
            if let Some(slot) = slots.get_mut(usize::from(blob.id)) {
                *slot = Some(blob.payload);
            }
            rest = blob.rest;
        }
        Attributes { slots }
    }

    /// The answer it must get at once: hostapd may be waiting for it with a station's association.
    pub fn answer(&self) -> Option<Vec<u8>> {
        if self.kind != Kind::Invoke {
            return None;
        }
        let attributes = self.attributes();
        if attributes.no_reply() {
            return None;
        }
        let mut builder = Builder::new(Kind::Status, self.seq, self.peer);
        builder.number(Attribute::Status, 0).number(Attribute::ObjId, attributes.objid()?);
        Some(builder.finish())
    }
}

/// The attributes of a message.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    slots: [Option<&'a [u8]>; ATTRIBUTES],
}

impl<'a> Attributes<'a> {
    /// The bytes of an attribute.
    pub fn bytes(&self, attribute: Attribute) -> Option<&'a [u8]> {
        self.slots[attribute as usize]
    }

    fn number(&self, attribute: Attribute) -> Option<u32> {
        self.bytes(attribute)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn string(&self, attribute: Attribute) -> Option<&'a [u8]> {
        self.bytes(attribute)?.strip_suffix(&[0])
    }

    /// STATUS.
    pub fn status(&self) -> Option<u32> {
        self.number(Attribute::Status)
    }

    /// OBJID.
    pub fn objid(&self) -> Option<u32> {
        self.number(Attribute::ObjId)
    }

    /// TARGET.
    pub fn target(&self) -> Option<u32> {
        self.number(Attribute::Target)
    }

    /// OBJPATH.
    pub fn objpath(&self) -> Option<&'a [u8]> {
        self.string(Attribute::ObjPath)
    }

    /// METHOD.
    pub fn method(&self) -> Option<&'a [u8]> {
        self.string(Attribute::Method)
    }

    /// NO_REPLY.
    pub fn no_reply(&self) -> bool {
        self.bytes(Attribute::NoReply).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    }

    /// DATA.
    pub fn data(&self) -> Option<Elements<'a>> {
        self.bytes(Attribute::Data).map(Elements::new)
    }
}

/// Writes a message.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// Begins a message.
    pub fn new(kind: Kind, seq: u16, peer: u32) -> Builder {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&[0, kind.number()]);
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&peer.to_be_bytes());
        bytes.extend_from_slice(&[0; HEADER - BEFORE_OUTER]);
        Builder { bytes }
    }

    /// Adds an attribute of bytes.
    pub fn bytes(&mut self, attribute: Attribute, payload: &[u8]) -> &mut Builder {
        let at = blob::open(&mut self.bytes, (attribute as u32) << 24);
        self.bytes.extend_from_slice(payload);
        blob::close(&mut self.bytes, at);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, attribute: Attribute, value: u32) -> &mut Builder {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Adds a string.
    pub fn string(&mut self, attribute: Attribute, text: &str) -> &mut Builder {
        let at = blob::open(&mut self.bytes, (attribute as u32) << 24);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        blob::close(&mut self.bytes, at);
        self
    }

    /// The whole message; the padding of the last attribute counts, or ubusd would drop it.
    pub fn finish(mut self) -> Vec<u8> {
        let outer = u32::try_from(self.bytes.len() - BEFORE_OUTER).unwrap_or(LENGTH_MASK);
        self.bytes[BEFORE_OUTER..HEADER].copy_from_slice(&(outer & LENGTH_MASK).to_be_bytes());
        self.bytes
    }
}

/// Bytes that cannot be a ubus stream; the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Version other than 0.
    Version(u8),
    /// Outer length below 4 or above [`OUTER_MAX`].
    Length(u32),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Version(version) => write!(f, "protocol version {version}, not 0"),
            FrameError::Length(length) => write!(f, "message of {length} bytes, not 4 to {OUTER_MAX}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Cuts a stream, however it is split, into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were given out.
    at: usize,
}

/// What is kept allocated between messages; a table of 60 stations fits.
const BUFFER_KEPT: usize = 32 << 10;

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes bytes from the stream. To be drained with [`next_message`](Self::next_message) before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_KEPT {
            self.buffer.shrink_to(BUFFER_KEPT);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        let pending = &self.buffer[self.at..];
        let Some(&[version, kind, s0, s1, p0, p1, p2, p3, o0, o1, o2, o3]) = pending.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        if version != 0 {
            return Err(FrameError::Version(version));
        }
        let outer = u32::from_be_bytes([o0, o1, o2, o3]) & LENGTH_MASK;
        let length = outer as usize;
        if !(HEADER - BEFORE_OUTER..=OUTER_MAX).contains(&length) {
            return Err(FrameError::Length(outer));
        }
        let Some(body) = pending.get(HEADER..BEFORE_OUTER + length) else { return Ok(None) };
        self.at += BEFORE_OUTER + length;
        Ok(Some(Message {
            kind: Kind::from_number(kind),
            seq: u16::from_be_bytes([s0, s1]),
            peer: u32::from_be_bytes([p0, p1, p2, p3]),
            body,
        }))
    }
}
