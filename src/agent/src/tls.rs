//! TLS as the command line asks for it: reads the files, and says of each what is wrong with it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use whichroom_mqtt::{BadTls, Clock, Fingerprint, Identity, Tls, Trust};

use crate::cli;

/// A bundle of all public authorities is 230 kB.
const BYTES_MAX: u64 = 1 << 20;
/// When this was built, in seconds since 1970.
const BUILT_S: &str = env!("WHICHROOM_BUILT_S");

/// TLS, and what a person should know about the files.
pub(crate) struct Loaded {
    pub(crate) tls: Tls,
    pub(crate) warning: Option<String>,
}

/// Reads what the options name. Errors name option and file, and never show what is in it.
pub(crate) fn load(options: &cli::TlsOptions) -> Result<Loaded, String> {
    let fingerprint = options.fingerprint.as_deref().map(str::parse::<Fingerprint>).transpose();
    let fingerprint = fingerprint.map_err(|error| format!("--fingerprint: {error}"))?;
    let ca = options.ca.as_deref().map(|path| read("--ca", path)).transpose()?;
    let trust = match (fingerprint, &ca) {
        (Some(fingerprint), None) => Trust::Fingerprint(fingerprint),
        (None, Some(pem)) => Trust::Authorities(pem),
        (Some(_), Some(_)) => {
            return Err(
                "--fingerprint beside --ca: one certificate, or an authority; keep one of them".into()
            );
        }
        (None, None) => {
            return Err(
                "--broker: mqtts:// needs --ca FILE or --fingerprint SHA256, to know the broker by".into()
            );
        }
    };
    let (cert, key) = match (&options.cert, &options.key) {
        (None, None) => (None, None),
        (Some(cert), Some(key)) => (Some(read("--cert", cert)?), Some((read("--key", key)?, key))),
        (Some(_), None) => return Err("--cert is there without --key".to_owned()),
        (None, Some(_)) => return Err("--key is there without --cert".to_owned()),
    };
    let warning = key.as_ref().and_then(|(_, path)| open_to_all(path));
    let identity = cert.as_deref().zip(key.as_ref());
    let identity = identity.map(|(certificates, (key, _))| Identity { certificates, key });
    let tls = Tls::new(trust, identity, clock()).map_err(|bad| {
        let (option, path, why) = match bad {
            BadTls::Authorities(why) => ("--ca", &options.ca, why),
            BadTls::Certificates(why) => ("--cert", &options.cert, why),
            BadTls::Key(why) => ("--key", &options.key, why),
        };
        format!("{option} {}: {why}", path.as_deref().unwrap_or(Path::new("")).display())
    })?;
    Ok(Loaded { tls, warning })
}

/// An access point has no battery for its clock.
fn clock() -> Clock {
    let built = Duration::from_secs(BUILT_S.parse().unwrap_or(0));
    Clock { now: SystemTime::now, set_after: SystemTime::UNIX_EPOCH + built }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{option} {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{option} {}: more than {BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}

fn open_to_all(path: &Path) -> Option<String> {
    let mode = path.metadata().ok()?.permissions().mode();
    let (path, open) = (path.display(), mode & 0o004 != 0);
    open.then(|| format!("{path} can be read by everyone: chmod 600 {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(ca: Option<&str>, pair: [Option<&str>; 2], fingerprint: Option<&str>) -> String {
        let [cert, key] = pair.map(|path| path.map(Into::into));
        let options =
            cli::TlsOptions { ca: ca.map(Into::into), cert, key, fingerprint: fingerprint.map(Into::into) };
        load(&options).err().unwrap()
    }

    #[test]
    fn mistakes_name_option_and_file() {
        let print = "ab".repeat(32);
        let print = Some(print.as_str());
        for (error, expected) in [
            (refused(None, [None, None], None), "--broker: mqtts:// needs --ca"),
            (refused(Some("/dev/null"), [None, None], print), "--fingerprint beside --ca"),
            (refused(None, [None, None], Some("ab")), "--fingerprint: not the 64"),
            (refused(Some("/nonexistent/ca"), [None, None], None), "--ca /nonexistent/ca: "),
            (refused(Some("/dev/null"), [None, None], None), "--ca /dev/null: no certificate in it"),
            (refused(Some("/dev/zero"), [None, None], None), "--ca /dev/zero: more than"),
            (refused(None, [Some("/dev/null"), None], print), "--cert is there without --key"),
            (refused(None, [None, Some("/dev/null")], print), "--key is there without --cert"),
            (refused(None, [Some("/dev/null"), Some("/nonexistent/k")], print), "--key /nonexistent/k: "),
            (
                refused(None, [Some("/dev/null"), Some("/dev/null")], print),
                "--cert /dev/null: no certificate",
            ),
        ] {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_fingerprint_is_enough_and_a_key_for_everyone_is_warned_of() {
        let fingerprint = Some("AB:".repeat(32));
        let options = cli::TlsOptions { fingerprint, ..cli::TlsOptions::default() };
        assert!(load(&options).is_ok_and(|loaded| loaded.warning.is_none()));
        let path = std::env::temp_dir().join(format!("whichroom-key-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        for (mode, warned) in [(0o644, true), (0o600, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(open_to_all(&path).is_some(), warned);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_build_has_a_date() {
        let year_2025 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
        assert!(clock().set_after > year_2025 || std::env::var_os("SOURCE_DATE_EPOCH").is_some());
    }
}
