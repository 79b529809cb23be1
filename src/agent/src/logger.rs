//! A logger for the router: one line a record to stderr, where procd takes it to the system log, which adds the time.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries' own chatter is of no use on an access point.
        metadata.target().starts_with("whichroom") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // What comes from the air or from the broker must not make lines of its own.
        let text = record
            .args()
            .to_string()
            .replace(|character: char| character.is_control(), " ")
            .replace('"', "'");
        let level = match record.level() {
            log::Level::Error => "error",
            log::Level::Warn => "warn",
            log::Level::Info => "info",
            log::Level::Debug => "debug",
            log::Level::Trace => "trace",
        };
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "level={level} msg=\"{text}\"");
    }

    fn flush(&self) {}
}

/// Starts to log: everything if `verbose`, else what a person should know.
pub(crate) fn start(verbose: bool) {
    static LOGGER: Stderr = Stderr;
    // It fails only where there is a logger already.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Info });
}
