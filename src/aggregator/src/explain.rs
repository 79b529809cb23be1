//! `whichroom explain`: why a person or a device is where it is said to be, asked of the aggregator that runs.

use lexopt::prelude::*;
use whichroom_presence::Explanation;
use whichroom_wire::Id;

use crate::Failure;
use crate::command::Command;
use crate::command::client::{self, Asked};

const HELP: &str = "\
whichroom explain PERSON|DEVICE: why somebody, or a device, is where they are said to be.

  --json          as one JSON object
";

/// Runs `whichroom explain`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut asked, mut name, mut json) = (Asked::default(), None, false);
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => asked.config = Some(args.value()?.into()),
            Long("page") => asked.page = Some(args.value()?.string()?),
            Long("json") => json = true,
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("help") | Short('h') => return crate::print(&format!("{HELP}{}", client::HELP)),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let name = name.ok_or_else(|| Failure::usage(format!("whom or what to explain?\n\n{HELP}")))?;
    let command = Command::Explain { id: id_of(&name)? };
    if json {
        return crate::print(&format!("{}\n", asked.ask_text(&command)?));
    }
    crate::print(&asked.ask::<Explanation>(&command)?.to_string())
}

/// The id that is meant: written as it is, or as the name it was made from.
fn id_of(name: &str) -> Result<Id, Failure> {
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
