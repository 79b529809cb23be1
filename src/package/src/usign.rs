//! Keys and signatures of usign, which opkg checks its indexes with: Ed25519 in the files of OpenBSD's signify. A file is
//! a comment and a line of base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha512};

use crate::{Hex, Problem};

const COMMENT: &str = "untrusted comment: ";
const ALGORITHM: &[u8; 2] = b"Ed";
/// How the private key is encrypted: bcrypt, with no rounds, that is not at all.
const NO_ENCRYPTION: &[u8; 6] = b"BK\0\0\0\0";
const SALT: usize = 16;

/// Names a key; opkg looks for it as a file of this name in `/etc/opkg/keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 8]);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// The feed's private key for opkg. Debug does not show it.
pub struct PrivateKey {
    fingerprint: Fingerprint,
    key: SigningKey,
}

/// The public half, as access points keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    fingerprint: Fingerprint,
    key: VerifyingKey,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PrivateKey {
    /// A key from the system's randomness.
    pub fn generate() -> Result<PrivateKey, Problem> {
        let mut seed = [0; 32];
        let mut fingerprint = [0; 8];
        for bytes in [&mut seed[..], &mut fingerprint] {
            getrandom::fill(bytes).map_err(|error| Problem::new(format!("no randomness: {error}")))?;
        }
        Ok(PrivateKey::new(seed, fingerprint))
    }

    /// A key of this seed and fingerprint.
    pub fn new(seed: [u8; 32], fingerprint: [u8; 8]) -> PrivateKey {
        PrivateKey { fingerprint: Fingerprint(fingerprint), key: SigningKey::from_bytes(&seed) }
    }

    /// Reads a private key that usign or `signify -G -n` made.
    pub fn parse(text: &str) -> Result<PrivateKey, Problem> {
        let bytes: [u8; 104] = decode(text)?;
        let (head, rest) = bytes.split_at(2 + NO_ENCRYPTION.len() + SALT);
        if head[..2] != *ALGORITHM {
            return Err(Problem::new("no Ed25519 key"));
        }
        if head[2..8] != *NO_ENCRYPTION {
            return Err(Problem::new("the key has a passphrase; make one without (signify -G -n, usign -G)"));
        }
        let (checksum, rest) = rest.split_at(8);
        let (fingerprint, key) = rest.split_at(8);
        if Sha512::digest(key)[..8] != *checksum {
            return Err(Problem::new("the key's checksum is wrong: the file is damaged"));
        }
        // The split leaves 64 bytes: seed, then public key.
        let seed = std::array::from_fn(|index| key[index]);
        let parsed = PrivateKey::new(seed, std::array::from_fn(|index| fingerprint[index]));
        if parsed.key.verifying_key().as_bytes() != &key[32..] {
            return Err(Problem::new("its public half is another key's"));
        }
        Ok(parsed)
    }

    /// The key as a file.
    pub fn render(&self) -> String {
        let key = self.key.to_keypair_bytes();
        let checksum = &Sha512::digest(key)[..8];
        let bytes = [&ALGORITHM[..], NO_ENCRYPTION, &[0; SALT], checksum, &self.fingerprint.0, &key].concat();
        encode(&format!("private key {}", self.fingerprint), &bytes)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { fingerprint: self.fingerprint, key: self.key.verifying_key() }
    }

    /// Signs a message: the signature as a file.
    pub fn sign(&self, message: &[u8]) -> String {
        let signature = self.key.sign(message).to_bytes();
        let bytes = [&ALGORITHM[..], &self.fingerprint.0, &signature].concat();
        encode(&format!("signed by key {}", self.fingerprint), &bytes)
    }
}

impl PublicKey {
    /// Reads a public key's file.
    pub fn parse(text: &str) -> Result<PublicKey, Problem> {
        let bytes: [u8; 42] = decode(text)?;
        if bytes[..2] != *ALGORITHM {
            return Err(Problem::new("no Ed25519 key"));
        }
        let key = std::array::from_fn(|index| bytes[10 + index]);
        let key = VerifyingKey::from_bytes(&key).map_err(|_| Problem::new("no point of the curve"))?;
        Ok(PublicKey { fingerprint: Fingerprint(std::array::from_fn(|index| bytes[2 + index])), key })
    }

    /// The key as a file.
    pub fn render(&self) -> String {
        let bytes = [&ALGORITHM[..], &self.fingerprint.0, self.key.as_bytes()].concat();
        encode(&format!("public key {}", self.fingerprint), &bytes)
    }

    /// The key's name.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Checks a signature's file against a message.
    pub fn verify(&self, message: &[u8], signature: &str) -> Result<(), Problem> {
        let bytes: [u8; 74] = decode(signature)?;
        let by = Fingerprint(std::array::from_fn(|index| bytes[2 + index]));
        if bytes[..2] != *ALGORITHM {
            return Err(Problem::new("no Ed25519 signature"));
        }
        if by != self.fingerprint {
            return Err(Problem::new(format!("signed by key {by}, not by {}", self.fingerprint)));
        }
        let signature = Signature::from_bytes(&std::array::from_fn(|index| bytes[10 + index]));
        self.key
            .verify_strict(message, &signature)
            .map_err(|_| Problem::new("the signature does not fit the content"))
    }
}

fn encode(comment: &str, bytes: &[u8]) -> String {
    format!("{COMMENT}{comment}\n{}\n", BASE64_STANDARD.encode(bytes))
}

fn decode<const LENGTH: usize>(text: &str) -> Result<[u8; LENGTH], Problem> {
    let mut lines = text.lines();
    if !lines.next().is_some_and(|line| line.starts_with(COMMENT)) {
        return Err(Problem::new(format!("the first line does not start with \"{COMMENT}\"")));
    }
    let line = lines.next().unwrap_or_default().trim();
    // Four characters carry three bytes; what is longer need not be decoded to be refused.
    if line.len() > LENGTH.div_ceil(3) * 4 {
        return Err(Problem::new("the second line is too long"));
    }
    let bytes =
        BASE64_STANDARD.decode(line).map_err(|error| Problem::new(format!("the second line: {error}")))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| Problem::new(format!("{} bytes, not {LENGTH}", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_of_a_key_byte_by_byte() {
        // Test vector 1 of RFC 8032, section 7.1.
        let seed = *b"\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60";
        let key = PrivateKey::new(seed, *b"\x01\x23\x45\x67\x89\xab\xcd\xef");
        let public = key.public().render();
        assert_eq!(
            public,
            "untrusted comment: public key 0123456789abcdef\n\
             RWQBI0VniavN79damAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n"
        );
        let signature = key.sign(b"");
        let (comment, line) = signature.split_once('\n').unwrap();
        assert_eq!(comment, "untrusted comment: signed by key 0123456789abcdef");
        let bytes = BASE64_STANDARD.decode(line.trim()).unwrap();
        assert_eq!(bytes[..10], *b"Ed\x01\x23\x45\x67\x89\xab\xcd\xef");
        assert_eq!(bytes[10..14], *b"\xe5\x56\x43\x00", "the vector's signature of the empty message");
        assert_eq!(bytes[70..], *b"\x8e\x7a\x10\x0b");
    }

    #[test]
    fn keys_come_back_from_their_files() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::parse(&key.render()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::parse(&key.public().render()), Ok(key.public()));
        assert_eq!(again.sign(b"x"), key.sign(b"x"), "signatures are reproducible");
    }

    #[test]
    fn a_damaged_or_foreign_signature_is_refused() {
        let key = PrivateKey::new([1; 32], [2; 8]);
        let signature = key.sign(b"Package: foo\n");
        assert_eq!(key.public().verify(b"Package: foo\n", &signature), Ok(()));
        assert!(key.public().verify(b"Package: bar\n", &signature).is_err());
        let other = PrivateKey::new([1; 32], [3; 8]).public();
        assert_eq!(
            other.verify(b"Package: foo\n", &signature).unwrap_err().to_string(),
            "signed by key 0202020202020202, not by 0303030303030303"
        );
        assert!(PrivateKey::parse(&key.render().replace("RW", "RX")).is_err());
    }

    #[test]
    fn a_key_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", PrivateKey::new([1; 32], [2; 8])), "***");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(untrusted comment: )?.{0,9}\n[A-Za-z0-9+/=]{0,160}\n?") {
            let _ = (PrivateKey::parse(&text), PublicKey::parse(&text));
            let _ = PrivateKey::new([1; 32], [2; 8]).public().verify(b"", &text);
        }
    }
}
