//! One client's socket: a reader that hands frames on, and a writer with ubusd's queue of at most 1 MiB, beyond
//! which messages are dropped without a word while the connection stays up.

use std::collections::VecDeque;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::frame::BLOB_MAX;

/// What waits to be written to a client.
#[derive(Debug)]
pub struct Outbox {
    stream: UnixStream,
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u32,
    closed: bool,
}

impl Outbox {
    /// Starts the writer of a connection.
    pub fn start(stream: UnixStream) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox { stream, queue: Mutex::default(), filled: Condvar::new() });
        let writer = Arc::clone(&outbox);
        std::thread::spawn(move || writer.write_all());
        outbox
    }

    /// Queues a message, or drops it.
    pub fn push(&self, message: Vec<u8>) {
        let mut queue = self.lock();
        if queue.bytes > 0 && queue.bytes + message.len() > BLOB_MAX {
            queue.dropped += 1;
            return;
        }
        queue.bytes += message.len();
        queue.messages.push_back(message);
        self.filled.notify_one();
    }

    /// Messages dropped so far.
    pub fn dropped(&self) -> u32 {
        self.lock().dropped
    }

    /// Ends the connection; what waits is lost.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        // Fails only if the other side was faster.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn write_all(&self) {
        loop {
            let mut queue = self.lock();
            while queue.messages.is_empty() && !queue.closed {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.closed {
                return;
            }
            let Some(message) = queue.messages.pop_front() else { continue };
            drop(queue);
            // The reader sees a broken connection too and cleans up.
            if (&self.stream).write_all(&message).is_err() {
                return;
            }
            self.lock().bytes -= message.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
