//! Commands of one word to the aggregator that runs: `whichroom give-up-ap` and `whichroom reset-doze`.

use lexopt::prelude::*;
use whichroom_presence::Explanation;

use crate::Failure;
use crate::command::Command;
use crate::command::client::{self, Asked};
use crate::explain::id_of;

const RESET_DOZE_HELP: &str = "\
whichroom reset-doze PERSON|DEVICE: forgets what was learned of how long a device is silent while it is at home, of all
devices of a person; for a device that is used otherwise now. whichroom explain shows what was learned.

";

const GIVE_UP_AP_HELP: &str = "\
whichroom give-up-ap AP: an access point that does not report is not coming back soon. Nobody who left waits for it to be
watched any more, until it reports again.

";

/// Runs `whichroom give-up-ap`.
pub fn give_up_ap(args: lexopt::Parser) -> Result<(), Failure> {
    let Some((asked, name)) = one_name(args, GIVE_UP_AP_HELP, "which access point?")? else { return Ok(()) };
    let ap = id_of(&name)?;
    asked.ask_text(&Command::GiveUpAp { ap: ap.clone() })?;
    crate::print(&format!("{ap} is not waited for any more, until it reports again\n"))
}

/// Runs `whichroom reset-doze`.
pub fn reset_doze(args: lexopt::Parser) -> Result<(), Failure> {
    let Some((asked, name)) = one_name(args, RESET_DOZE_HELP, "whose, or of which device?")? else {
        return Ok(());
    };
    let explanation: Explanation = asked.ask(&Command::ResetDoze { id: id_of(&name)? })?;
    crate::print(&explanation.to_string())
}

/// Where to ask and about what; `None` if the help was asked for.
fn one_name(mut args: lexopt::Parser, help: &str, missing: &str) -> Result<Option<(Asked, String)>, Failure> {
    let (mut asked, mut name) = (Asked::default(), None);
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => asked.config = Some(args.value()?.into()),
            Long("page") => asked.page = Some(args.value()?.string()?),
            Long("token-file") => asked.token_file = Some(args.value()?.into()),
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("help") | Short('h') => {
                crate::print(&format!("{help}{}", client::HELP))?;
                return Ok(None);
            }
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let name = name.ok_or_else(|| Failure::usage(format!("{missing}\n\n{help}")))?;
    Ok(Some((asked, name)))
}
