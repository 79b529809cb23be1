//! Brings TLS under the MQTT library, whose own is not used: it stays with a version of its certificate library that
//! has known holes. The library connects to a local socket in Linux's abstract namespace; what it writes there goes
//! to the broker through TLS and back, on the same thread, driven by whoever drives the library.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::link::{Lost, Step};
use crate::options::Options;
use crate::tls::{Tls, words};

/// For the name, the connection and the handshake, which slow access points reckon at for a while.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);
/// How long the library may wait, so that the handshake's own words come first.
pub(crate) const ANSWER_MAX_S: u64 = 20;
/// Names that others took before us, by accident or on purpose.
const NAMES_MAX: usize = 100;

/// How a tunnel came to its end.
enum Failure {
    Handshake(Lost),
    After(io::Error),
}

type Carrying = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// One connection to the broker. Dropped, it goes like a pulled plug.
pub(crate) struct Tunnel {
    address: String,
    /// `None` when it has ended.
    carrying: Option<Carrying>,
    /// MQTT was spoken through it.
    connected: bool,
    failed: Option<Lost>,
}

impl Tunnel {
    /// A tunnel that the library can connect to at once, and that reaches the broker while it is driven.
    pub(crate) fn new(options: &Options, tls: &Tls) -> Tunnel {
        let (address, listener) = match listen() {
            Ok((address, listener)) => (address, Ok(listener)),
            Err(error) => (String::new(), Err(error)),
        };
        let host = options.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let carrying = Box::pin(carry(listener, host, options.port, tls.clone()));
        Tunnel { address, carrying: Some(carrying), connected: false, failed: None }
    }

    /// Where the library connects to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Drives the tunnel until the library has taken its step. Where both fail, the tunnel knows why.
    pub(crate) async fn drive(
        &mut self,
        step: impl Future<Output = Result<Step, Lost>>,
    ) -> Result<Step, Lost> {
        let mut step = pin!(step);
        // When the tunnel ends the library goes on: what has come through is still to be read, and then the end.
        while let Some(carrying) = &mut self.carrying {
            let ended = tokio::select! {
                biased;
                ended = carrying => ended,
                done = &mut step => return self.done(done),
            };
            self.carrying = None;
            self.failed = match ended {
                Ok(()) => None,
                Err(Failure::Handshake(lost)) => Some(lost),
                Err(Failure::After(error)) => words::after(&error, self.connected),
            };
        }
        let done = step.await;
        self.done(done)
    }

    fn done(&mut self, done: Result<Step, Lost>) -> Result<Step, Lost> {
        match done {
            Ok(step) => {
                self.connected |= matches!(step, Step::Connected { .. });
                Ok(step)
            }
            // What the broker said in MQTT before it closed is more than that it closed.
            Err(lost) if lost.cut => Err(self.failed.take().unwrap_or(lost)),
            Err(lost) => Err(lost),
        }
    }
}

/// Bound before its name is known to anybody: who connects to it reaches us.
fn listen() -> io::Result<(String, UnixListener)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..NAMES_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!("\0whichroom-mqtt-{}-{number}", process::id());
        match UnixListener::bind(Path::new(&address)) {
            Ok(listener) => return Ok((address, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

async fn carry(listener: io::Result<UnixListener>, host: String, port: u16, tls: Tls) -> Result<(), Failure> {
    let local = |error: io::Error| {
        Failure::Handshake(Lost::plain(format!("no local socket to speak TLS through: {error}")))
    };
    let listener = listener.map_err(local)?;
    let mut broker = match timeout(HANDSHAKE_MAX, shake_hands(&host, port, &tls)).await {
        Ok(shaken) => shaken.map_err(Failure::Handshake)?,
        Err(_) => {
            let why = format!("no TLS connection within {} s", HANDSHAKE_MAX.as_secs());
            return Err(Failure::Handshake(Lost::plain(why)));
        }
    };
    let mut library = accept(&listener).await.map_err(local)?;
    drop(listener);
    copy_bidirectional(&mut library, &mut broker).await.map(|_| ()).map_err(Failure::After)
}

async fn shake_hands(host: &str, port: u16, tls: &Tls) -> Result<TlsStream<TcpStream>, Lost> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Lost::plain("this name cannot be in a certificate: name the broker otherwise"))?;
    let broker = TcpStream::connect((host, port)).await.map_err(|error| Lost::io(&error))?;
    broker.set_nodelay(true).map_err(|error| Lost::io(&error))?;
    let connector = TlsConnector::from(tls.config.clone());
    connector.connect(name, broker).await.map_err(|error| words::handshake(&error))
}

/// The library's connection. Every process on this machine can see the name and connect; the kernel says who did.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let ours = i32::try_from(process::id()).ok();
    loop {
        let (stream, _) = listener.accept().await?;
        if ours.is_some() && stream.peer_cred()?.pid() == ours {
            return Ok(stream);
        }
        log::warn!("another process connected to the local socket for TLS; sent away");
    }
}
