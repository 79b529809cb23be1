//! The history that a recording holds: it is replayed for what its access points said, and decided anew on the way.
//! The import and the report on a recording read it.

use std::path::Path;

use whichroom_presence::Moment;
use whichroom_roaming::{Note, Range, Time};

use super::{Chronicle, Entry};
use crate::replay::player::{Player, Seen};
use crate::replay::{BadLines, say_end};

/// Plays a recording to its end, hands over what it says of the past bit by bit, and returns of when it is. Lines that
/// do not read and a cut are said on standard error.
pub fn play(file: &Path, player: &mut Player, mut take: impl FnMut(Vec<Entry>)) -> Range {
    player.witness_all();
    let clock = player.clock().clone();
    let time = |moment: Moment| Time::from_ms(clock.unix_ms(moment));
    let mut chronicle = Chronicle::new(player.setup(), None, time(player.began()));
    let mut bad = BadLines::new(file);
    let end = player.play(None, &mut |seen| {
        match seen {
            Seen::Comes(at) => chronicle.handle_timeout(time(at)),
            Seen::Witnessed(witnessed) => chronicle.handle_witnessed(witnessed, time),
            Seen::Decided(effect, _) => chronicle.handle_effect(effect, time),
            Seen::Noted(text, at) => take(vec![Entry::Note(Note { at: time(at), text })]),
            Seen::Settled(engine, at) => {
                chronicle.handle_likely_rooms(|| engine.likely_rooms(), time(at));
            }
            Seen::Bad { number, why } => bad.note(number, why),
        }
        take(chronicle.take_entries());
    });
    bad.say_count();
    say_end(file, &end, &clock.date_and_time(player.now()));
    chronicle.handle_timeout(time(player.now()));
    take(chronicle.take_entries());
    take(chronicle.open().collect());
    Range::new(time(player.began()), time(player.now()))
}
