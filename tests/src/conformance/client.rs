//! The client of the conformance script: just enough of MQTT 3.1.1 and 5, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Outcome, Target, Version};

/// For hangs only.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come for there to be nothing.
pub(super) const QUIET: Duration = Duration::from_millis(400);
/// CONNECT's fields.
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    pub(super) clean: bool,
    pub(super) keep_alive_s: u16,
    pub(super) will: Option<(&'a str, &'a [u8])>,
    pub(super) will_delay_s: u32,
    pub(super) session_expiry_s: u32,
    pub(super) receive_max: u16,
    pub(super) packet_max: u32,
}

impl Default for Connect<'_> {
    fn default() -> Self {
        Connect {
            client_id: "",
            clean: true,
            keep_alive_s: 60,
            will: None,
            will_delay_s: 0,
            session_expiry_s: 0,
            receive_max: u16::MAX,
            packet_max: 268_435_455,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connack { session_present: bool, code: u8 },
    Publish(Publish),
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
    Suback(Vec<u8>),
    Unsuback,
    Pingresp,
    Disconnect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) duplicate: bool,
    pub(super) id: u16,
}

pub(super) struct Client {
    socket: TcpStream,
    version: Version,
    pub(super) session_present: bool,
}

pub(super) fn io(error: std::io::Error) -> String {
    format!("socket: {error}")
}

pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) -> Outcome {
    let length = u16::try_from(bytes.len()).map_err(|_| "a string of more than 64 KiB")?;
    out.extend(length.to_be_bytes());
    out.extend(bytes);
    Ok(())
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        out.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

impl Connect<'_> {
    pub(super) fn encode(
        &self,
        version: Version,
        login: Option<&(String, String)>,
    ) -> Result<Vec<u8>, String> {
        let mut flags = u8::from(self.clean) << 1;
        if self.will.is_some() {
            // QoS 1, not retained.
            flags |= 0b0000_1100;
        }
        if login.is_some() {
            flags |= 0b1100_0000;
        }
        let level = if version == Version::V4 { 4 } else { 5 };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, flags];
        body.extend(self.keep_alive_s.to_be_bytes());
        if version == Version::V5 {
            body.extend([13, 17]);
            body.extend(self.session_expiry_s.to_be_bytes());
            body.push(33);
            body.extend(self.receive_max.to_be_bytes());
            body.push(39);
            body.extend(self.packet_max.to_be_bytes());
        }
        string(&mut body, self.client_id.as_bytes())?;
        if let Some((topic, payload)) = self.will {
            if version == Version::V5 {
                body.extend([5, 24]);
                body.extend(self.will_delay_s.to_be_bytes());
            }
            string(&mut body, topic.as_bytes())?;
            string(&mut body, payload)?;
        }
        if let Some((name, password)) = login {
            string(&mut body, name.as_bytes())?;
            string(&mut body, password.as_bytes())?;
        }
        Ok(packet(0x10, &body))
    }
}

impl Client {
    pub(super) fn connect(
        target: &Target,
        version: Version,
        connect: &Connect<'_>,
    ) -> Result<Client, String> {
        let (client, code) = Client::try_connect(target, version, connect, target.login.as_ref())?;
        if code == 0 { Ok(client) } else { Err(format!("connection refused with {code:#x}")) }
    }

    pub(super) fn try_connect(
        target: &Target,
        version: Version,
        connect: &Connect<'_>,
        login: Option<&(String, String)>,
    ) -> Result<(Client, u8), String> {
        let socket = TcpStream::connect(target.address).map_err(io)?;
        socket.set_nodelay(true).map_err(io)?;
        let mut client = Client { socket, version, session_present: false };
        client.write(&connect.encode(version, login)?)?;
        match client.expect()? {
            Packet::Connack { session_present, code } => {
                client.session_present = session_present;
                Ok((client, code))
            }
            other => Err(format!("{other:?} instead of CONNACK")),
        }
    }

    pub(super) fn named(target: &Target, version: Version, client_id: &str) -> Result<Client, String> {
        Client::connect(target, version, &Connect { client_id, ..Connect::default() })
    }

    /// One of its own for a topic, so that checks do not throw each other's out.
    pub(super) fn watching(target: &Target, version: Version, topic: &str) -> Result<Client, String> {
        let mut client = Client::named(target, version, &format!("watching {topic}"))?;
        client.subscribed(&[topic], 1)?;
        Ok(client)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.socket.write_all(bytes).map_err(io)
    }

    pub(super) fn no_properties(&self, body: &mut Vec<u8>) {
        if self.version == Version::V5 {
            body.push(0);
        }
    }

    pub(super) fn subscribe(&mut self, filters: &[&str], qos: u8) -> Outcome {
        let mut body = vec![0, 10];
        self.no_properties(&mut body);
        for filter in filters {
            string(&mut body, filter.as_bytes())?;
            body.push(qos);
        }
        self.write(&packet(0x82, &body))
    }

    /// Subscribes and waits for the answer; nothing is retained for these filters.
    pub(super) fn subscribed(&mut self, filters: &[&str], qos: u8) -> Outcome {
        self.subscribe(filters, qos)?;
        match self.expect()? {
            Packet::Suback(codes)
                if codes.len() == filters.len() && codes.iter().all(|code| *code < 0x80) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?} instead of SUBACK")),
        }
    }

    pub(super) fn publish_bytes(
        &self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
        id: u16,
    ) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        string(&mut body, topic.as_bytes())?;
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        self.no_properties(&mut body);
        body.extend(payload);
        Ok(packet(0x30 | qos << 1 | u8::from(retain), &body))
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Outcome {
        let bytes = self.publish_bytes(topic, payload, 1, retain, 77)?;
        self.write(&bytes)?;
        match self.expect()? {
            Packet::Puback(77) => Ok(()),
            other => Err(format!("{other:?} instead of PUBACK")),
        }
    }

    pub(super) fn ack(&mut self, publish: &Publish) -> Outcome {
        if publish.qos == 0 {
            return Ok(());
        }
        self.write(&packet(0x40, &publish.id.to_be_bytes()))
    }

    pub(super) fn goodbye(mut self) -> Outcome {
        self.write(&packet(0xe0, &[]))?;
        self.closed(PATIENCE)
    }

    pub(super) fn expect(&mut self) -> Result<Packet, String> {
        self.read(PATIENCE)?.ok_or_else(|| "nothing came".to_owned())
    }

    /// The next message, acknowledged.
    pub(super) fn message(&mut self) -> Result<Publish, String> {
        match self.expect()? {
            Packet::Publish(publish) => self.ack(&publish).map(|()| publish),
            other => Err(format!("{other:?} instead of a message")),
        }
    }

    pub(super) fn quiet(&mut self) -> Outcome {
        match self.read(QUIET)? {
            None => Ok(()),
            Some(packet) => Err(format!("{packet:?} came and should not have")),
        }
    }

    /// Waits for the broker to close.
    pub(super) fn closed(&mut self, within: Duration) -> Outcome {
        let started = Instant::now();
        loop {
            match self.read(within.saturating_sub(started.elapsed()).max(Duration::from_millis(1))) {
                Ok(None) => return Err(format!("not closed within {within:?}")),
                Ok(Some(_)) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// One packet; `None` if none begins in time, an error if the connection is closed.
    pub(super) fn read(&mut self, wait: Duration) -> Result<Option<Packet>, String> {
        self.socket.set_read_timeout(Some(wait)).map_err(io)?;
        let mut first = [0];
        match self.socket.read(&mut first) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) => return Err(io(error)),
        }
        self.socket.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        let mut length = 0;
        for shift in 0..4 {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).map_err(io)?;
            length |= usize::from(byte[0] & 0x7f) << (7 * shift);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).map_err(io)?;
        self.decode(first[0], &body).map(Some).ok_or_else(|| format!("unreadable: {:#x} {body:?}", first[0]))
    }

    pub(super) fn decode(&self, first: u8, body: &[u8]) -> Option<Packet> {
        let id = |body: &[u8]| Some(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        // Of what the script asks for, no answer has more than 127 bytes of properties.
        let properties = |body: &[u8]| {
            if self.version == Version::V5 { body.first().map(|n| 1 + usize::from(*n)) } else { Some(0) }
        };
        Some(match first >> 4 {
            2 => Packet::Connack { session_present: *body.first()? == 1, code: *body.get(1)? },
            3 => {
                let qos = first >> 1 & 3;
                let topic_end = 2 + usize::from(id(body)?);
                let mut rest = body.get(topic_end..)?;
                let packet_id = if qos > 0 { id(rest)? } else { 0 };
                rest = rest.get(if qos > 0 { 2 } else { 0 }..)?;
                Packet::Publish(Publish {
                    topic: String::from_utf8(body.get(2..topic_end)?.to_vec()).ok()?,
                    payload: rest.get(properties(rest)?..)?.to_vec(),
                    qos,
                    retain: first & 1 != 0,
                    duplicate: first & 8 != 0,
                    id: packet_id,
                })
            }
            4 => Packet::Puback(id(body)?),
            5 => Packet::Pubrec(id(body)?),
            7 => Packet::Pubcomp(id(body)?),
            9 => {
                let rest = body.get(2..)?;
                Packet::Suback(rest.get(properties(rest)?..)?.to_vec())
            }
            11 => Packet::Unsuback,
            13 => Packet::Pingresp,
            14 => Packet::Disconnect,
            _ => return None,
        })
    }

    pub(super) fn publish_to_itself(&mut self, topic: &str) -> Outcome {
        let bytes = self.publish_bytes(topic, b"me", 1, false, 9)?;
        self.write(&bytes)?;
        let (mut acked, mut came) = (false, false);
        while !(acked && came) {
            match self.expect()? {
                Packet::Puback(9) => acked = true,
                Packet::Publish(publish) => {
                    self.ack(&publish)?;
                    came = true;
                }
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(())
    }
}
