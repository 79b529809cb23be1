//! `whichroom explain`: why a person or a device is where it is said to be: now, asked of the aggregator that runs, or at
//! a moment of a recording.

use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_presence::Explanation;
use whichroom_wire::Id;

use crate::Failure;
use crate::command::Command;
use crate::command::client::{self, Asked};
use crate::replay::player::{End, Player, Seen};
use crate::replay::{BadLines, say_end, time};

const HELP: &str = "\
whichroom explain PERSON|DEVICE: why somebody, or a device, is where they are said to be.

  --recording FILE  in a recording instead of now: at its end, or
  --at TIME       at this moment of it: 2026-11-22T08:15:00+01:00, 08:15, 08:15:30 or +900 (seconds from its start)
  --json          as one JSON object
";

/// Runs `whichroom explain`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut asked, mut name, mut json) = (Asked::default(), None, false);
    let (mut recording, mut at) = (None, None);
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => asked.config = Some(args.value()?.into()),
            Long("page") => asked.page = Some(args.value()?.string()?),
            Long("token-file") => asked.token_file = Some(args.value()?.into()),
            Long("recording") => recording = Some(PathBuf::from(args.value()?)),
            Long("at") => at = Some(args.value()?.string()?),
            Long("json") => json = true,
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("help") | Short('h') => return crate::print(&format!("{HELP}{}", client::HELP)),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let name = name.ok_or_else(|| Failure::usage(format!("whom or what to explain?\n\n{HELP}")))?;
    let id = id_of(&name)?;
    let explanation: Explanation = match (recording, at) {
        (Some(file), at) => of_recording(&file, at.as_deref(), &id)?,
        (None, Some(_)) => return Err(Failure::usage(NO_PAST)),
        (None, None) => asked.ask(&Command::Explain { id })?,
    };
    if json {
        // Structs with string keys always serialize.
        return crate::print(&format!("{}\n", serde_json::to_string(&explanation).unwrap_or_default()));
    }
    crate::print(&explanation.to_string())
}

const NO_PAST: &str = "--at needs a recording: the running aggregator knows the present only. Let it record with \
    whichroom run --record FILE, then: whichroom explain NAME --recording FILE --at TIME";

fn of_recording(file: &Path, at: Option<&str>, id: &Id) -> Result<Explanation, Failure> {
    let mut player = Player::open(file, None).map_err(Failure::usage)?;
    let at = at.map(|text| time::moment(text, player.clock(), player.began())).transpose();
    let at = at.map_err(Failure::usage)?;
    let clock = player.clock().clone();
    let from_to = |player: &Player| {
        let (from, to) = (clock.date_and_time(player.began()), clock.date_and_time(player.now()));
        format!("{} is of {from} to {to}", file.display())
    };
    if at.is_some_and(|at| at < player.began()) {
        player.play(None, &mut |_| {});
        return Err(Failure::usage(format!("{}: nothing is known of before", from_to(&player))));
    }
    let mut bad = BadLines::new(file);
    let end = player.play(at, &mut |seen| {
        if let Seen::Bad { number, why } = seen {
            bad.note(number, why);
        }
    });
    bad.say_count();
    if at.is_some_and(|at| end != End::Reached && player.now() < at) {
        return Err(Failure::usage(format!("{}: nothing is known of after", from_to(&player))));
    }
    say_end(file, &end, &clock.date_and_time(player.now()));
    player.explain(id).map_err(|refusal| Failure::usage(refusal.to_string()))
}

/// The id that is meant: written as it is, or as the name it was made from.
pub fn id_of(name: &str) -> Result<Id, Failure> {
    let id = name.parse().ok().or_else(|| Id::from_name(name));
    id.ok_or_else(|| Failure::usage(format!("\"{name}\" is neither an id nor a name that gives one")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_called_by_id_or_name() {
        for name in ["bens-phone", "Bens Phone"] {
            assert_eq!(id_of(name).unwrap().as_str(), "bens-phone");
        }
        assert!(id_of("日本").unwrap_err().text.contains("neither an id"));
    }
}
