//! A relay in front of a broker that counts the bytes in both directions: what MQTT costs, without the headers of TCP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The relay. It lives as long as the process.
#[derive(Debug)]
pub struct Meter {
    port: u16,
    bytes: Arc<AtomicUsize>,
}

impl Meter {
    /// Relays to a port of 127.0.0.1.
    pub fn start(to: u16) -> Meter {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|error| panic!("no port for the meter: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let bytes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A connection that breaks at once is the client's to make again.
                let _ = stream.and_then(|stream| relay(stream, to, &count));
            }
        });
        Meter { port, bytes }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes so far, both directions together.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn relay(client: TcpStream, to: u16, bytes: &Arc<AtomicUsize>) -> std::io::Result<()> {
    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    for (from, to) in [(client.try_clone()?, broker.try_clone()?), (broker, client)] {
        let bytes = Arc::clone(bytes);
        std::thread::spawn(move || copy(from, to, &bytes));
    }
    Ok(())
}

/// Until one side closes; then the other is closed, too.
fn copy(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicUsize) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        bytes.fetch_add(length, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Fails where the other direction was faster.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_counted() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let meter = Meter::start(listener.local_addr().unwrap().port());
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, meter.port())).unwrap();
        client.write_all(b"seven b").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut read = [0; 7];
        server.read_exact(&mut read).unwrap();
        server.write_all(b"abc").unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!((&read, answer.as_slice(), meter.bytes()), (b"seven b", b"abc".as_slice(), 10));
    }
}
