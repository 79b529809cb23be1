//! What is kept secret, and what is kept of it: argon2 hashes of passwords and tokens, digests of what is random anyway,
//! and the one-time code. Randomness is passed in; hashing takes tens of milliseconds and belongs on a thread of its own.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Shortest password, in characters.
pub const PASSWORD_MIN: usize = 8;
/// Longest password or token, in bytes.
pub const SECRET_MAX: usize = 512;
/// Random bytes of a session or a token.
pub const RANDOM: usize = 32;
/// Random bytes of a hash's salt.
pub const SALT: usize = 16;
/// Most memory of a hash from a file, in KiB: verifying one takes as much.
const MEMORY_MAX_KIB: u32 = 256 << 10;
/// Most passes over it.
const PASSES_MAX: u32 = 16;
/// Characters that are not taken for one another, 32 of them.
const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Characters of a code: 40 bits.
pub const CODE: usize = 8;

/// An argon2id hash of a password or token, in PHC form. It tells nobody the password; still it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(String);

impl Hash {
    /// Hashes. Slow on purpose.
    pub fn new(secret: &str, salt: &[u8; SALT]) -> Result<Hash, String> {
        let hash: Result<PasswordHash, _> =
            Argon2::default().hash_password_with_salt(secret.as_bytes(), salt);
        hash.map(|hash| Hash(hash.to_string())).map_err(|error| format!("it cannot be hashed: {error}"))
    }

    /// Reads one as a file has it; one that would take minutes or gigabytes to verify is none.
    pub fn read(text: &str) -> Result<Hash, String> {
        const FORM: &str = "is no argon2id hash; whichroom token NAME makes one";
        let hash = PasswordHash::new(text.trim()).map_err(|_| FORM.to_owned())?;
        let params = Params::try_from(&hash).map_err(|_| FORM.to_owned())?;
        let is_ours = Algorithm::try_from(hash.algorithm.as_str()) == Ok(Algorithm::Argon2id)
            && hash.version == Some(Version::V0x13.into())
            && hash.salt.is_some()
            && hash.hash.is_some();
        if !is_ours {
            return Err(FORM.to_owned());
        }
        if params.m_cost() > MEMORY_MAX_KIB || params.t_cost() > PASSES_MAX {
            return Err(format!(
                "takes too long to verify: m is at most {MEMORY_MAX_KIB} and t at most {PASSES_MAX}"
            ));
        }
        Ok(Hash(text.trim().to_owned()))
    }

    /// Whether it is the hash of this. Slow on purpose.
    pub fn is_of(&self, secret: &str) -> bool {
        secret.len() <= SECRET_MAX
            && PasswordHash::new(&self.0)
                .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
    }

    /// As a file keeps it.
    pub fn as_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of what is random enough that nobody guesses it.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of bytes that follow one another.
    pub fn of(parts: &[&[u8]]) -> Digest {
        let mut sha = Sha256::new();
        parts.iter().for_each(|part| sha.update(part));
        Digest(sha.finalize().into())
    }

    /// In as much time whether they are alike or not.
    pub fn is(&self, other: &Digest) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// As a file keeps it.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// As a file keeps it.
    pub fn read(text: &str) -> Option<Digest> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Digest)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Random bytes as a cookie and a header take them.
pub fn text_of(random: &[u8; RANDOM]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// A one-time code, as it is read from a log and typed.
#[derive(Clone)]
pub struct Code([u8; CODE]);

impl Code {
    /// From as many random bytes.
    pub fn new(random: &[u8; CODE]) -> Code {
        Code(random.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]))
    }

    /// Whether somebody typed it, in whatever case and with whatever between its characters.
    pub fn is_typed(&self, text: &str) -> bool {
        let typed: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).take(CODE + 1).collect();
        typed.to_ascii_uppercase().ct_eq(&self.0).into()
    }

    /// For the log, and nothing else: `ABCD-EFGH`.
    pub fn reveal(&self) -> String {
        let text: String = self.0.iter().map(|&byte| char::from(byte)).collect();
        let (first, second) = text.split_at(CODE / 2);
        format!("{first}-{second}")
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is wrong with a new password that was typed twice.
pub fn password_fault(password: &str, again: &str) -> Option<String> {
    if password.chars().count() < PASSWORD_MIN {
        return Some(format!("A password has at least {PASSWORD_MIN} characters."));
    }
    if password.len() > SECRET_MAX {
        return Some(format!("A password has at most {SECRET_MAX} bytes."));
    }
    (password != again).then(|| "The two passwords are not the same.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_secret_alone_and_is_read_back() {
        let hash = Hash::new("correct horse", &[7; SALT]).unwrap();
        assert!(hash.as_text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_text());
        let read = Hash::read(&format!("{}\n", hash.as_text())).unwrap();
        assert!(read.is_of("correct horse"));
        assert!(!read.is_of("correct horsE") && !read.is_of("") && !read.is_of(&"x".repeat(SECRET_MAX + 1)));
        assert_ne!(hash, Hash::new("correct horse", &[8; SALT]).unwrap(), "the salt counts");
        assert_eq!(format!("{hash:?}"), "***");
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let of = |parameters: &str| {
            format!(
                "$argon2id$v=19${parameters}$c29tZXNhbHRzYWx0$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
            )
        };
        assert!(Hash::read(&of("m=4096,t=1,p=1")).is_ok());
        for text in ["", "secret", "$argon2id$", "$argon2i$v=19$m=4096,t=1,p=1$c29tZXNhbHRzYWx0$CTFh"] {
            assert!(Hash::read(text).unwrap_err().contains("whichroom token"), "{text}");
        }
        for costly in ["m=4194304,t=1,p=1", "m=4096,t=4000,p=1"] {
            assert!(Hash::read(&of(costly)).unwrap_err().contains("too long"), "{costly}");
        }
    }

    #[test]
    fn a_code_is_typed_as_people_type() {
        let code = Code::new(&[0, 1, 2, 31, 32, 33, 200, 255]);
        assert_eq!(code.reveal(), "234Z-23AZ");
        for typed in ["234Z-23AZ", "234z23az", " 234Z 23AZ ", "2-3-4-Z-2-3-a-z"] {
            assert!(code.is_typed(typed), "{typed}");
        }
        for typed in ["", "234Z-23A", "234Z-23AZZ", "234Z-23A8", "234Z-23A\u{17f}"] {
            assert!(!code.is_typed(typed), "{typed}");
        }
        assert_eq!(format!("{code:?}"), "***");
    }

    #[test]
    fn a_password_is_long_enough_and_typed_twice() {
        assert_eq!(password_fault("longenough", "longenough"), None);
        assert_eq!(password_fault("äöüäöüäö", "äöüäöüäö"), None, "characters count, not bytes");
        assert!(password_fault("short", "short").unwrap().contains("at least 8"));
        assert!(password_fault("longenough", "longenougj").unwrap().contains("not the same"));
        let long = "x".repeat(SECRET_MAX + 1);
        assert!(password_fault(&long, &long).unwrap().contains("at most"));
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = Digest::of(&[b"a", b"b"]);
        assert!(Digest::read(&digest.to_text()).unwrap().is(&digest));
        assert!(!digest.is(&Digest::of(&[b"a"])));
        assert!(Digest::read("").is_none() && Digest::read("AAAA").is_none());
    }
}
