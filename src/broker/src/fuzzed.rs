//! What strangers send the broker, for the fuzz target in `tests/fuzz` and for the test that replays what it found.

use crate::options::Limits;
use crate::router::{ConnectionId, Effect, Router};

/// A function by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every function here.
pub const TARGETS: &[Target] = &[("broker_clients", broker_clients)];

/// Two connections, and what each sends: a byte says which and how many bytes, and then come the bytes.
pub fn broker_clients(bytes: &[u8]) {
    let limits = Limits {
        sessions: 4,
        subscriptions: 4,
        retained_messages: 4,
        queued_messages: 8,
        queued_bytes: 4096,
        packet_bytes: 4096,
        ..Limits::default()
    };
    let mut router = Router::new(Vec::new(), limits.clone());
    let mut rest = bytes;
    let mut now_ms = 0;
    for id in [1, 2] {
        router.handle_opened(ConnectionId(id), "stranger".to_owned(), now_ms);
    }
    while let Some((head, after)) = rest.split_first() {
        let (piece, left) = after.split_at(usize::from(head >> 1).min(after.len()));
        router.handle_bytes(ConnectionId(1 + u64::from(head & 1)), piece, now_ms);
        now_ms += 100;
        router.handle_timeout(now_ms);
        carry_out(&mut router, now_ms);
        let counts = router.counts();
        assert!(
            counts.sessions <= limits.sessions && counts.retained <= limits.retained_messages,
            "{counts:?}"
        );
        rest = left;
    }
}

fn carry_out(router: &mut Router, now_ms: u64) {
    while let Some(effect) = router.poll_effect() {
        if let Effect::Send { connection, bytes } = effect {
            router.handle_written(connection, bytes.len(), now_ms);
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn what_fuzzing_found_is_read() {
    replay::corpora(TARGETS);
}
