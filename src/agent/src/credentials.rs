//! User and password for the broker, from a file: on a command line every process would see them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use whichroom_mqtt::Secret;

const BYTES_MAX: u64 = 4096;

/// What the file says, and what about it a person should know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Option<Secret>,
    pub(crate) warning: Option<String>,
}

/// Reads the file. Errors name it, and never show what is in it.
pub(crate) fn read(path: &Path) -> Result<Credentials, String> {
    let failed = |error: std::io::Error| format!("--credentials {}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let (username, password) =
        parse(&text).map_err(|why| format!("--credentials {}: {why}", path.display()))?;
    let warning = (mode & 0o004 != 0)
        .then(|| format!("{} can be read by everyone: chmod 600 {}", path.display(), path.display()));
    Ok(Credentials { username: username.to_owned(), password: password.map(Secret::new), warning })
}

pub(crate) fn parse(text: &str) -> Result<(&str, Option<&str>), String> {
    let mut plain = Vec::new();
    let (mut username, mut password) = (None, None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        if let Some(value) = line.strip_prefix("username=") {
            username = Some(value);
        } else if let Some(value) = line.strip_prefix("password=") {
            password = Some(value);
        } else if !line.is_empty() {
            plain.push((number, line));
        }
    }
    match (username, &plain[..]) {
        (Some(username), []) if !username.is_empty() => Ok((username, password)),
        (Some(""), []) => Err("the user name is empty".to_owned()),
        (Some(_), [(number, _), ..]) => {
            Err(format!("line {number} is neither username=... nor password=..."))
        }
        (None, [(_, username)]) => Ok((username, password)),
        (None, [(_, username), (_, only)]) if password.is_none() => Ok((username, Some(only))),
        (None, []) => Err("no user name in it".to_owned()),
        _ => Err("more than the two lines user and password".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(parse("ap\nhunter2\n"), Ok(("ap", Some("hunter2"))));
        assert_eq!(parse("ap\r\nhunter2"), Ok(("ap", Some("hunter2"))));
        assert_eq!(parse("username=ap\npassword=a=b c\n"), Ok(("ap", Some("a=b c"))));
        assert_eq!(parse("password=x\n\nusername=ap\n"), Ok(("ap", Some("x"))));
        assert_eq!(parse("ap\n"), Ok(("ap", None)));
    }

    #[test]
    fn mistakes_are_told_without_the_secret() {
        for text in ["", "\n\n", "username=\npassword=x", "a\nb\nhunter2", "username=a\nhunter2"] {
            let why = parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/credentials")).unwrap_err();
        assert!(error.contains("/nonexistent/credentials"), "{error}");
    }

    #[test]
    fn a_file_for_everyone_is_warned_of() {
        let path = std::env::temp_dir().join(format!("whichroom-credentials-{}", std::process::id()));
        std::fs::write(&path, "ap\nhunter2\n").unwrap();
        for (mode, warned) in [(0o644, true), (0o600, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let credentials = read(&path).unwrap();
            assert_eq!(credentials.warning.is_some(), warned);
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
        std::fs::remove_file(&path).unwrap();
    }
}
