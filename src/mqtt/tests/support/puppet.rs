//! A broker that does what a test tells it, one packet at a time.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::PATIENCE;

/// The broker's end of one connection in MQTT 3.1.1, which does nothing on its own.
pub struct Puppet(TcpStream);

impl Puppet {
    /// Takes the next connection.
    pub fn accept(listener: &TcpListener) -> Puppet {
        let mut puppet = Puppet(listener.accept().unwrap().0);
        assert_eq!(puppet.packet()[0], 0x10, "CONNECT");
        puppet.0.write_all(&[0x20, 2, 0, 0]).unwrap();
        puppet
    }

    /// The next packet, which is a short one.
    pub fn packet(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut packet = vec![0; 2];
        self.0.read_exact(&mut packet).unwrap();
        assert!(packet[1] < 128, "a long packet");
        packet.resize(2 + usize::from(packet[1]), 0);
        self.0.read_exact(&mut packet[2..]).unwrap();
        packet
    }

    /// The next packet is a publish, of which this is the packet id.
    pub fn publish(&mut self) -> [u8; 2] {
        let packet = self.packet();
        assert_eq!(packet[0] & 0xf0, 0x30, "PUBLISH");
        let at = 4 + usize::from(packet[3]);
        [packet[at], packet[at + 1]]
    }

    pub fn acknowledge(&mut self, [high, low]: [u8; 2]) {
        self.0.write_all(&[0x40, 2, high, low]).unwrap();
    }

    pub fn quiet(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let read = self.0.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{read:?}");
    }
}
