//! The socket: a thread that always reads, so that ubusd never drops what is meant for us, and that answers what
//! wants an answer before anything else is done with it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::message::{Decoder, Message, OwnedMessage};

/// Where ubusd listens: since OpenWrt 21.02, and before.
pub const PATHS: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];

const STACK: usize = 128 << 10;
/// ubusd never blocks, so a write that takes this long means that it hangs.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the reading thread hands on.
#[derive(Debug)]
pub enum Delivery {
    /// A message that was accepted.
    Message(OwnedMessage),
    /// The last delivery: the connection is lost, and why.
    Closed(String),
}

/// An open connection. Dropping it closes the socket and ends the thread.
#[derive(Debug)]
pub struct Connection {
    writer: Arc<Mutex<UnixStream>>,
}

/// Connects to `path`, or to the first of [`PATHS`] that answers.
pub fn connect(path: Option<&Path>) -> io::Result<UnixStream> {
    if let Some(path) = path {
        return UnixStream::connect(path).map_err(|error| named(path, &error));
    }
    let [new, old] = PATHS.map(Path::new);
    // The old path matters only where there is no new one; otherwise the new one's error is the telling one.
    UnixStream::connect(new).or_else(|error| UnixStream::connect(old).map_err(|_| named(new, &error)))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Connection {
    /// Starts to read. `accept` decides in the reading thread whether a message is worth handing on, and should
    /// look at its type and method first; `deliver` gets those, and at last [`Delivery::Closed`].
    pub fn open(
        stream: UnixStream,
        accept: impl Fn(&Message<'_>) -> bool + Send + 'static,
        deliver: impl FnMut(Delivery) + Send + 'static,
    ) -> io::Result<Connection> {
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let reader = stream.try_clone()?;
        let writer = Arc::new(Mutex::new(stream));
        let answers = Arc::clone(&writer);
        thread::Builder::new()
            .name("ubus".into())
            .stack_size(STACK)
            .spawn(move || read(reader, &answers, accept, deliver))?;
        Ok(Connection { writer })
    }

    /// Sends a whole message.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        send(&self.writer, message)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let stream = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // It fails only where the other side was quicker.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn send(writer: &Mutex<UnixStream>, message: &[u8]) -> io::Result<()> {
    // Two threads write: the lock keeps their messages whole.
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(message)
}

fn read(
    mut stream: UnixStream,
    writer: &Mutex<UnixStream>,
    accept: impl Fn(&Message<'_>) -> bool,
    mut deliver: impl FnMut(Delivery),
) {
    let mut decoder = Decoder::new();
    let mut buffer = [0; 8 << 10];
    let why = loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break "ubusd closed the connection".to_owned(),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => break error.to_string(),
        };
        decoder.push(&buffer[..count]);
        if let Err(why) = drain(&mut decoder, writer, &accept, &mut deliver) {
            break why;
        }
    };
    deliver(Delivery::Closed(why));
}

fn drain(
    decoder: &mut Decoder,
    writer: &Mutex<UnixStream>,
    accept: &impl Fn(&Message<'_>) -> bool,
    deliver: &mut impl FnMut(Delivery),
) -> Result<(), String> {
    while let Some(message) = decoder.next_message().map_err(|error| error.to_string())? {
        if let Some(answer) = message.answer() {
            send(writer, &answer).map_err(|error| error.to_string())?;
        }
        if accept(&message) {
            deliver(Delivery::Message(message.to_owned()));
        }
    }
    Ok(())
}
