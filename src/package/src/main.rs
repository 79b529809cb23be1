//! `whichroom-package` builds the agent for access points, its packages and signed feeds, and inspects them.

mod command;

use std::io::Write as _;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::command::{Failure, build, inspect, print, sizes};

const HELP: &str = "\
whichroom-package: the agent for access points with OpenWrt, as packages and as a feed. No SDK is needed.

  whichroom-package build     compiles the agent and writes packages and feeds
  whichroom-package inspect   lists and checks a package or the index of a feed
  whichroom-package sizes     how large everything is
  whichroom-package report    the same against what it may be
  whichroom-package lines     what to paste on an access point to install from a feed

Each takes --help. whichroom-package --version says the version.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to be done where standard error is gone, too.
            let _ = writeln!(std::io::stderr(), "{}", failure.text.trim_end());
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut args = lexopt::Parser::from_env();
    match args.next()? {
        Some(Value(command)) => match command.to_str() {
            Some("build") => build::main(args),
            Some("inspect") => inspect::main(args),
            Some("sizes") => sizes::sizes(args),
            Some("report") => sizes::report(args),
            Some("lines") => build::lines(args),
            Some(_) | None => Err(Failure::usage(format!("there is no command {command:?}\n\n{HELP}"))),
        },
        Some(Long("version") | Short('V')) => {
            print(concat!("whichroom-package ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Some(Long("help") | Short('h')) => print(HELP),
        Some(argument) => Err(argument.unexpected().into()),
        None => Err(Failure::usage(HELP)),
    }
}
