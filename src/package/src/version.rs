//! What apk accepts as name, version and architecture, checked when a package is built: opkg takes nearly anything, and
//! the refusal would otherwise come on somebody's access point.

use crate::Problem;

/// Longest name, version or architecture, in bytes.
const LENGTH_MAX: usize = 128;

/// Suffixes apk knows, those before a release and those after one.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];

/// Checks a version by apk's grammar: `digits(.digits)*[letter](_suffix[digits])*[~hex][-rdigits]`.
///
/// opkg takes these, too.
pub fn check_version(version: &str) -> Result<(), Problem> {
    let refuse = |why: &str| Err(Problem::new(format!("apk refuses the version {version:?}: {why}")));
    if version.len() > LENGTH_MAX {
        return refuse("it is too long");
    }
    let Some(mut rest) = digits(version) else {
        return refuse("it does not start with a digit");
    };
    while let Some(part) = rest.strip_prefix('.') {
        let Some(after) = digits(part) else {
            return refuse("no number follows a dot");
        };
        rest = after;
    }
    rest = rest.strip_prefix(|letter: char| letter.is_ascii_lowercase()).unwrap_or(rest);
    while let Some(part) = rest.strip_prefix('_') {
        let (suffix, after) = split(part, |byte| byte.is_ascii_lowercase());
        if !SUFFIXES.contains(&suffix) {
            return refuse(&format!("{suffix:?} is none of {}", SUFFIXES.join(", ")));
        }
        rest = digits(after).unwrap_or(after);
    }
    if let Some(part) = rest.strip_prefix('~') {
        let (hash, after) = split(part, |byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hash.is_empty() {
            return refuse("only a commit in lower-case hexadecimal follows ~");
        }
        rest = after;
    }
    if let Some(part) = rest.strip_prefix("-r") {
        let Some(after) = digits(part) else {
            return refuse("no number follows -r");
        };
        rest = after;
    }
    if rest.is_empty() {
        return Ok(());
    }
    refuse(&format!("{rest:?} fits nowhere; the shape is 1.2.3[_rc1][~1a2b3c][-r1]"))
}

/// Checks a package's name: what both package managers take, and what needs no quoting in a shell.
pub fn check_name(name: &str) -> Result<(), Problem> {
    let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-._".contains(&byte);
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if starts && name.len() <= LENGTH_MAX && name.bytes().all(clean) {
        return Ok(());
    }
    Err(Problem::new(format!(
        "{name:?} is no package name: lower-case letters, digits and +-._ after a letter or digit"
    )))
}

/// Checks an architecture as OpenWrt names them: `aarch64_cortex-a53`, `all`.
pub fn check_architecture(architecture: &str) -> Result<(), Problem> {
    let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-+".contains(&byte);
    if (1..=LENGTH_MAX).contains(&architecture.len()) && architecture.bytes().all(clean) {
        return Ok(());
    }
    Err(Problem::new(format!("{architecture:?} is no architecture; /etc/openwrt_release says a router's")))
}

/// What follows the digits at the start; nothing where there are none.
fn digits(text: &str) -> Option<&str> {
    let (number, rest) = split(text, |byte| byte.is_ascii_digit());
    if number.is_empty() { None } else { Some(rest) }
}

/// Splits ASCII that satisfies off the start.
fn split(text: &str, satisfies: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !satisfies(byte)).unwrap_or(text.len());
    // The position is one of a byte that follows ASCII only, or the end: a boundary of characters.
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_apk_takes() {
        for version in [
            "1",
            "1.2.3",
            "0.1.0-r1",
            "1.2.3_rc1-r1",
            "1.2.3~abc1234-r1",
            "1.2b",
            "1.0_alpha",
            "1_git20260101_p1",
        ] {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
    }

    #[test]
    fn versions_apk_refuses_are_refused_with_the_reason() {
        let reason = |version| check_version(version).unwrap_err().to_string();
        assert!(reason("1.2.3-1").contains("\"-1\" fits nowhere"));
        assert!(reason("v1.0").contains("does not start with a digit"));
        assert!(reason("1.0-rc1").contains("no number follows -r"));
        assert!(reason("1.0_rc.1").contains("\".1\" fits nowhere"));
        assert!(reason("1.0_foo").contains("\"foo\" is none of"));
        assert!(reason("1.0~xyz").contains("hexadecimal"));
        assert!(reason("0.1.0-dev+3").contains("fits nowhere"));
        assert!(reason("~git20260101").contains("does not start with a digit"));
        assert!(reason("1..2").contains("no number follows a dot"));
        assert!(reason("").contains("does not start with a digit"));
    }

    #[test]
    fn names_and_architectures() {
        assert_eq!(check_name("whichroom-agent"), Ok(()));
        assert!(check_name("WhichRoom").is_err());
        assert!(check_name("-x").is_err());
        assert!(check_name("a b").is_err());
        assert_eq!(check_architecture("arm_cortex-a7_neon-vfpv4"), Ok(()));
        assert!(check_architecture("").is_err());
        assert!(check_architecture("a/b").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in ".{0,40}") {
            let _ = (check_version(&text), check_name(&text), check_architecture(&text));
        }

        #[test]
        fn what_the_grammar_makes_is_taken(
            text in "[0-9]{1,4}(\\.[0-9]{1,3}){0,3}[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]{0,2}){0,2}(~[0-9a-f]{1,8})?(-r[0-9]{1,2})?"
        ) {
            prop_assert_eq!(check_version(&text), Ok(()));
        }
    }
}
