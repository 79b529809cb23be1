//! Says who is home and in which room, from what OpenWrt access points hear.
//!
//! `whichroom run` is the server, `init` writes its configuration, `check` judges one, `demo` runs everything
//! against a simulated home, and `score` measures decisions against the truth.

mod access;
mod calibrate;
mod clock;
mod command;
mod config;
mod decider;
mod demo;
mod explain;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod history;
mod home_assistant;
mod hub;
mod init;
mod install;
mod names;
mod note;
mod outbox;
mod passing;
mod record;
mod replay;
mod report;
mod run;
mod samples;
mod score;
mod server;
mod state;
mod tell;
mod topics;
mod web;

use std::io::Write as _;
use std::process::ExitCode;

use lexopt::prelude::*;

const HELP: &str = "\
whichroom: who is home and in which room, from what OpenWrt access points hear.

  whichroom demo    a simulated home, to see it work
  whichroom init    writes whichroom.toml and says what to paste on each access point
  whichroom run     the real thing
  whichroom report  who roams too often or too late, and what to do
  whichroom note    marks a change, to compare before and after
  whichroom history takes out what was kept, takes recordings in
  whichroom check   what is wrong with whichroom.toml
  whichroom explain why somebody is where they are said to be
  whichroom give-up-ap an access point is not coming back: do not wait for it
  whichroom reset-doze forgets what was learned of a device's silences
  whichroom calibrate says in which room a device is now, and keeps what is heard of it there
  whichroom token   makes a token for a program that asks over the network
  whichroom password forgets the page's password
  whichroom score   how right decisions are, on recorded traces or in a simulated house
  whichroom record  writes down everything the access points say
  whichroom replay  what was recorded, decided once more

Each takes --help. whichroom --version says the version.
";

/// Why the program ends, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// It gave up at run time: exit code 1.
    pub fn run(text: impl Into<String>) -> Failure {
        Failure { code: 1, text: text.into() }
    }

    /// Bad usage or configuration: exit code 2.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { code: 2, text: text.into() }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        Failure::usage(error.to_string())
    }
}

/// Writes to standard output. A closed pipe is no failure: whoever read has read enough.
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The program: reads the command line, and runs until it is done.
pub fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to be done where standard error is gone, too.
            let _ = writeln!(std::io::stderr(), "{}", failure.text.trim_end());
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch() -> Result<(), Failure> {
    let mut args = lexopt::Parser::from_env();
    match args.next()? {
        Some(Value(command)) => {
            let default_level = if command == "demo" { "warn" } else { "info" };
            env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default_level)).init();
            match command.to_str() {
                Some("demo") => demo::main(args),
                Some("init") => init::main(args),
                Some("run") => run::main(args),
                Some("check") => run::check(args),
                Some("explain") => explain::main(args),
                Some("calibrate") => calibrate::main(args),
                Some("token") => access::command::token(args),
                Some("password") => access::command::password(args),
                Some("score") => score::main(args),
                Some("give-up-ap") => tell::give_up_ap(args),
                Some("reset-doze") => tell::reset_doze(args),
                Some("record") => record::main(args),
                Some("history") => history::command::main(args),
                Some("note") => note::main(args),
                Some("report") => report::main(args),
                Some("replay") => replay::main(args),
                Some(_) | None => Err(Failure::usage(format!("there is no command {command:?}\n\n{HELP}"))),
            }
        }
        Some(Long("version") | Short('V')) => print(concat!("whichroom ", env!("CARGO_PKG_VERSION"), "\n")),
        Some(Long("help") | Short('h')) => print(HELP),
        Some(argument) => Err(argument.unexpected().into()),
        None => Err(Failure::usage(HELP)),
    }
}
