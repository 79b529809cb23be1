//! The history's tables, and how a file of an earlier release becomes one of this: migrations run in order, each in
//! a transaction of its own. Writer and reader open files through here.
//!
//! Addresses and BSSs are numbered once, because a row a minute and a device is what the file consists of. Signals
//! are a row a minute while their hour lasts, and then one row of packed minutes: an eighth of the size. Where a device may
//! be is a row whenever that changes, its rooms as words: `kitchen 70 hall 25`. How an association began and ended are the
//! numbers of [`BEGAN`] and [`ENDED`], for associations are half of the file.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use whichroom_roaming::{Began, Ended};

/// "WhRo", so that `file` and we tell a history from any other database.
const APPLICATION_ID: i32 = 0x5768_526f;

/// One a version, the first makes version 1.
pub(super) const MIGRATIONS: [&str; 3] = ["
    CREATE TABLE device (id INTEGER PRIMARY KEY, mac INTEGER NOT NULL UNIQUE);
    CREATE TABLE bss (
        id INTEGER PRIMARY KEY, ap TEXT NOT NULL, bssid INTEGER NOT NULL, UNIQUE (ap, bssid));
    CREATE TABLE span (
        device INTEGER NOT NULL, begin_ms INTEGER NOT NULL, bss INTEGER NOT NULL, end_ms INTEGER NOT NULL,
        began TEXT NOT NULL, ended TEXT, PRIMARY KEY (device, begin_ms)) WITHOUT ROWID;
    CREATE TABLE signal_minute (
        minute INTEGER NOT NULL, device INTEGER NOT NULL, bss INTEGER NOT NULL, hearing TEXT NOT NULL,
        min_dbm INTEGER NOT NULL, mean_dbm INTEGER NOT NULL, max_dbm INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (minute, device, bss, hearing)) WITHOUT ROWID;
    CREATE TABLE signal_hour (
        device INTEGER NOT NULL, hour INTEGER NOT NULL, bss INTEGER NOT NULL, hearing TEXT NOT NULL,
        minutes BLOB NOT NULL, PRIMARY KEY (device, hour, bss, hearing)) WITHOUT ROWID;
    CREATE TABLE radio (
        bss INTEGER NOT NULL, at_ms INTEGER NOT NULL, ifname TEXT NOT NULL, ssid TEXT, enabled INTEGER NOT NULL,
        freq_mhz INTEGER, channel INTEGER, width_mhz INTEGER, txpower_dbm INTEGER,
        ft INTEGER, rrm INTEGER, btm INTEGER, PRIMARY KEY (bss, at_ms)) WITHOUT ROWID;
    CREATE TABLE air (
        bss INTEGER NOT NULL, at_ms INTEGER NOT NULL, noise_dbm INTEGER, utilization_permille INTEGER,
        PRIMARY KEY (bss, at_ms)) WITHOUT ROWID;
    CREATE TABLE stay (
        person TEXT NOT NULL, begin_ms INTEGER NOT NULL, end_ms INTEGER, home INTEGER NOT NULL, room TEXT,
        PRIMARY KEY (person, begin_ms)) WITHOUT ROWID;
    CREATE TABLE note (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, text TEXT NOT NULL);
", "
    CREATE TABLE likely (
        device INTEGER NOT NULL, minute INTEGER NOT NULL, rooms TEXT NOT NULL, PRIMARY KEY (device, minute)
    ) WITHOUT ROWID;
", "
    CREATE TABLE numbered_span (
        device INTEGER NOT NULL, begin_ms INTEGER NOT NULL, bss INTEGER NOT NULL, end_ms INTEGER NOT NULL,
        began INTEGER NOT NULL, ended INTEGER, PRIMARY KEY (device, begin_ms)) WITHOUT ROWID;
    INSERT INTO numbered_span SELECT device, begin_ms, bss, end_ms,
        CASE began WHEN 'full' THEN 0 WHEN 'fast-transition' THEN 1 ELSE 2 END,
        CASE ended WHEN 'roamed' THEN 0 WHEN 'left' THEN 1 WHEN 'reassociated' THEN 2 WHEN 'sent-away' THEN 3
            WHEN 'poll-failed' THEN 4 WHEN 'ap-restarted' THEN 5 WHEN 'bss-lost' THEN 6 WHEN 'unknown' THEN 7 END
        FROM span;
    DROP TABLE span;
    ALTER TABLE numbered_span RENAME TO span;
"];

/// How an association began, by its number in the file; the commonest first, for 0 and 1 take no place there.
pub const BEGAN: [Began; 3] = [Began::Full, Began::FastTransition, Began::Unknown];

/// How one ended, by its number.
pub const ENDED: [Ended; 8] = [
    Ended::Roamed,
    Ended::Left,
    Ended::Reassociated,
    Ended::SentAway,
    Ended::PollFailed,
    Ended::ApRestarted,
    Ended::BssLost,
    Ended::Unknown,
];

/// Why a history cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// It is a database of something else, or of a later release: it is left alone.
    Foreign(String),
    /// What it holds is no longer readable.
    Broken(rusqlite::Error),
    /// The disk or the file's rights.
    Unusable(rusqlite::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Foreign(why) => f.write_str(why),
            OpenError::Broken(error) | OpenError::Unusable(error) => write!(f, "{error}"),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> OpenError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Broken(error),
            _ => OpenError::Unusable(error),
        }
    }
}

/// Opens a history for writing; a file that is missing is made, one of an earlier release is brought up to date.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    keep_private(path);
    let mut connection = Connection::open(path)?;
    // Only an empty file takes these two.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // With a write-ahead log a power cut costs the last seconds, never the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(Duration::from_secs(5))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Who was where is nobody else's business. What is wrong with the file, opening it says.
fn keep_private(path: &Path) {
    let private = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    if let Err(error) = private {
        log::debug!("{}: {error}", path.display());
    }
}

/// Opens a history for reading beside a writer.
pub fn open_read_only(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    match version(&connection, path)? {
        version if version == MIGRATIONS.len() => Ok(connection),
        version => Err(OpenError::Foreign(format!(
            "{} has version {version}, this release reads {}: let `whichroom run` open it once",
            path.display(),
            MIGRATIONS.len()
        ))),
    }
}

/// The migrations a file has had. An empty file has had none.
fn version(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::Foreign(format!("{} is no history of WhichRoom", path.display())));
    }
    Ok(usize::try_from(pragma("user_version")?).unwrap_or(usize::MAX))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let had = version(connection, path)?;
    if had > MIGRATIONS.len() {
        return Err(OpenError::Foreign(format!(
            "{} was written by a later release (version {had}, this one knows {})",
            path.display(),
            MIGRATIONS.len()
        )));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(had) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}
