//! `whichroom note`: marks a change somebody made, so that what was before it is compared with what came after.

use lexopt::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::command::Command;
use crate::command::client::{self, Asked};

const HELP: &str = "\
whichroom note TEXT: marks a change, for example \"power of the attic lowered to 17 dBm\". `whichroom report` compares
what came after it with as long before.

";

/// Longest text of a note, in bytes.
pub const TEXT_MAX: usize = 400;

/// A note that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Its text, as it is kept.
    pub noted: String,
}

/// Runs `whichroom note`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut asked, mut words) = (Asked::default(), Vec::new());
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => asked.config = Some(args.value()?.into()),
            Long("page") => asked.page = Some(args.value()?.string()?),
            Long("token-file") => asked.token_file = Some(args.value()?.into()),
            Value(word) => words.push(word.string()?),
            Long("help") | Short('h') => return crate::print(&format!("{HELP}{}", client::HELP)),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if words.is_empty() {
        return Err(Failure::usage(format!("what was changed?\n\n{HELP}")));
    }
    let answer: Noted = asked.ask(&Command::Note { text: words.join(" ") })?;
    crate::print(&format!("noted: {}\n", answer.noted))
}

/// The text as it is kept: one line that is not too long; nothing if there is none.
pub fn text_of(text: &str) -> Option<String> {
    let line: Vec<&str> =
        text.split(|character: char| character.is_whitespace() || character.is_control()).collect();
    let line = line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (!line.is_empty() && line.len() <= TEXT_MAX).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_of_bounded_length() {
        assert_eq!(text_of("  power\n\tlowered\u{0} "), Some("power lowered".to_owned()));
        assert_eq!(text_of(" \n"), None);
        assert_eq!(text_of(&"x".repeat(TEXT_MAX + 1)), None);
    }
}
