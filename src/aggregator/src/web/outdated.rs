//! Whether an agent's version is behind another. The page says so, and shows the line that brings it up to date.

/// Whether `version` is older than `than`. Versions that are not of the form `1.2.3` are not compared: nobody is sent to
/// an access point for a guess.
pub fn is_older(version: &str, than: &str) -> bool {
    match (numbers(version), numbers(than)) {
        (Some(version), Some(than)) => version < than,
        _ => false,
    }
}

/// The three numbers; a package's revision behind them (`-r1`) is not the agent's.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let is_revision = |text: &str| text.parse::<u32>().is_ok();
    let version = match version.split_once("-r") {
        Some((version, revision)) if is_revision(revision) => version,
        _ => version,
    };
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The newer of two versions; the first where they cannot be compared.
pub fn newer<'v>(one: &'v str, other: &'v str) -> &'v str {
    if is_older(one, other) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("0.1.0", "0.1.1"));
        assert!(is_older("0.9.0", "0.10.0"));
        assert!(is_older("0.1.0", "0.2.0-r3"));
        assert!(!is_older("0.1.0", "0.1.0-r2"));
        assert!(!is_older("1.0.0", "0.9.9"));
        assert_eq!(newer("0.9.0", "0.10.0-r1"), "0.10.0-r1");
        assert_eq!(newer("0.9.0", "nonsense"), "0.9.0");
    }

    #[test]
    fn what_is_no_version_is_never_outdated() {
        for other in ["", "git", "1.2", "1.2.3.4", "1.2.x", "0.2.0-rc.1"] {
            assert!(!is_older(other, "9.9.9") && !is_older("0.0.1", other), "{other}");
        }
    }
}
