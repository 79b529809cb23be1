//! The stand-in ubusd as a program: an access point to try the agent on where there is none.

#![expect(clippy::print_stdout, reason = "the program talks to a person")]

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use whichroom_tests::ubusd::{Options, Ubusd, command};

const USAGE: &str =
    "Usage: stand-in-ubusd [--socket PATH] [--bss N] [--stations N] [--release R] [--ap N] [--stir] [--usteer]

Listens as ubusd would and plays hostapd, iwinfo, luci-rpc and usteer of one access point.

  --socket PATH   where to listen (default: ubus.sock in the working directory)
  --bss N         BSSs at the start, alternating between 5 GHz and 2.4 GHz (default: 2)
  --stations N    stations at the start, spread over the BSSs (default: 3)
  --release R     answers as of OpenWrt 22.03, 23.05, 24.10 (default) or 25.12
  --ap N          0 to 255, makes the addresses differ from another stand-in's (default: 0)
  --stir          let signals and counters move every second
  --usteer        usteer is installed

";

struct Arguments {
    socket: PathBuf,
    bsss: u8,
    stations: u16,
    ap: u8,
    stir: bool,
    options: Options,
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}{}", command::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("stand-in-ubusd: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stand-in-ubusd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments = Arguments {
        socket: "ubus.sock".into(),
        bsss: 2,
        stations: 3,
        ap: 0,
        stir: false,
        options: Options::default(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("socket") => arguments.socket = parser.value()?.into(),
            Long("bss") => arguments.bsss = parser.value()?.parse()?,
            Long("stations") => arguments.stations = parser.value()?.parse()?,
            Long("ap") => arguments.ap = parser.value()?.parse()?,
            Long("stir") => arguments.stir = true,
            Long("usteer") => arguments.options.usteer = true,
            Long("release") => arguments.options.release = command::release(&parser.value()?.string()?)?,
            Short('h') | Long("help") => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    Ok(Some(arguments))
}

fn run(arguments: Arguments) -> std::io::Result<()> {
    let ubusd = Ubusd::start(&arguments.socket, arguments.options)?;
    command::furnish(&ubusd, arguments.bsss, arguments.stations, arguments.ap);
    println!("listening at {}", arguments.socket.display());
    let ubusd = Arc::new(Mutex::new(ubusd));
    if arguments.stir {
        let ubusd = Arc::clone(&ubusd);
        std::thread::spawn(move || stir(&ubusd));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let mut ubusd = ubusd.lock().unwrap_or_else(PoisonError::into_inner);
        match command::run(&mut ubusd, &line) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

fn stir(ubusd: &Mutex<Ubusd>) {
    let mut random = std::process::id();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let ubusd = ubusd.lock().unwrap_or_else(PoisonError::into_inner);
        ubusd.with_ap(|ap| ap.stir(&mut random, Instant::now()));
    }
}
