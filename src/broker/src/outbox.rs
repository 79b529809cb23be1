//! What is to be written to one connection: filled under the router's lock, emptied by the connection's writer. The
//! router bounds it.

use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the client may take to close its side after our last words.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
    socket: TcpStream,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closing: bool,
    reader_ended: bool,
}

impl Outbox {
    pub(crate) fn new(socket: TcpStream) -> Outbox {
        Outbox { state: Mutex::default(), changed: Condvar::new(), socket }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        self.state().bytes.extend_from_slice(bytes);
        self.changed.notify_all();
    }

    /// Nothing is pushed after this.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }

    pub(crate) fn reader_ended(&self) {
        self.state().reader_ended = true;
        self.changed.notify_all();
    }

    /// All there is to write; waits for it. `None` when the connection is to be closed.
    pub(crate) fn wait(&self) -> Option<Vec<u8>> {
        let idle = |state: &mut State| state.bytes.is_empty() && !state.closing;
        let waited = self.changed.wait_while(self.state(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.bytes.is_empty()).then(|| std::mem::take(&mut state.bytes))
    }

    /// Closes our side, and the other one if the client does not soon. Closing at once with bytes unread would reset
    /// the connection, and the client might not get what was written last.
    pub(crate) fn linger(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let reading = |state: &mut State| !state.reader_ended;
        let _ = self.changed.wait_timeout_while(self.state(), LINGER, reading);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
