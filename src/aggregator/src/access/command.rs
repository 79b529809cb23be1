//! `whichroom token` and `whichroom password`: what is done about access on the command line. A token is printed once,
//! only its hash is kept; a password is never typed here, only forgotten.

use std::path::PathBuf;

use lexopt::prelude::*;
use whichroom_wire::Id;

use super::secret::Hash;
use super::store::Store;
use super::{Scope, new_token};
use crate::{Failure, config, state};

const TOKEN_HELP: &str = "\
whichroom token NAME: makes a token for a program that asks the page's address over the network, such as Prometheus, curl
or whichroom on another machine. It is printed once; the line for whichroom.toml holds only its argon2 hash.

  --change        it may send commands that change something, too; otherwise it may only look

whichroom itself takes it from $WHICHROOM_TOKEN or --token-file FILE, others as the header Authorization: Bearer TOKEN.
Take the line out of the file again, and SIGHUP, and the token is worth nothing.
";

const PASSWORD_HELP: &str = "\
whichroom password --reset: forgets the page's password. Whoever is signed in is signed out, and the log of whichroom run
shows a one-time code, with which the page takes a new password. Nothing needs to be restarted.

  --state DIR     the state directory of whichroom run (default: as whichroom run)
  --config FILE   its configuration, beside which its state is
";

/// Runs `whichroom token`.
pub fn token(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut name, mut scope) = (None, Scope::Read);
    while let Some(argument) = args.next()? {
        match argument {
            Long("change") => scope = Scope::All,
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("help") | Short('h') => return crate::print(TOKEN_HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let name = name.ok_or_else(|| Failure::usage(format!("what is it called?\n\n{TOKEN_HELP}")))?;
    let name: Id = name.parse().map_err(|error| Failure::usage(format!("\"{name}\": {error}")))?;
    crate::print(&made(&name, scope).map_err(Failure::run)?)
}

fn made(name: &Id, scope: Scope) -> Result<String, String> {
    let token = new_token(name, &state::random()?);
    let hash = Hash::new(&token, &state::random()?)?;
    let scope = match scope {
        Scope::Read => "",
        Scope::All => "  scope = \"all\"\n",
    };
    Ok(format!(
        "The token, shown this once:\n\n  {token}\n\nFor whichroom.toml, then SIGHUP:\n\n  \
         [[web.token]]\n  name = \"{name}\"\n  hash = \"{}\"\n{scope}",
        hash.as_text()
    ))
}

/// Runs `whichroom password`.
pub fn password(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut directory, mut file, mut reset) = (None, None, false);
    while let Some(argument) = args.next()? {
        match argument {
            Long("reset") => reset = true,
            Long("state") => directory = Some(PathBuf::from(args.value()?)),
            Long("config") => file = Some(PathBuf::from(args.value()?)),
            Long("help") | Short('h') => return crate::print(PASSWORD_HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    if !reset {
        return Err(Failure::usage(PASSWORD_HELP));
    }
    let file = config::find(file.as_deref());
    let store = Store::in_directory(&state::directory(directory, file.as_deref()));
    let place = store.password_file().display();
    match store.remove_password() {
        Ok(true) => crate::print(
            "the password is forgotten, and nobody is signed in any more; the log of whichroom run shows the code for \
             the next one\n",
        ),
        Ok(false) => Err(Failure::run(format!(
            "there is no password: {place} is not there; is it another state directory? See --state"
        ))),
        Err(error) => Err(Failure::run(format!("{place} cannot be removed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_lines_that_are_printed_are_read_and_verify_the_token() {
        for scope in [Scope::Read, Scope::All] {
            let text = made(&"prometheus".parse().unwrap(), scope).unwrap();
            let token = text.lines().find(|line| line.starts_with("  prometheus.")).unwrap().trim();
            let (_, lines) = text.split_once("SIGHUP:\n\n").unwrap();
            let (config, remarks) = config::parse(lines, Path::new("/nonexistent"));
            let tokens = config.unwrap_or_else(|| panic!("{remarks:?}")).web.tokens;
            assert_eq!((tokens.len(), tokens[0].scope), (1, scope));
            assert!(tokens[0].hash.is_of(token));
            assert!(!lines.contains(token), "the file holds the hash only");
        }
    }
}
