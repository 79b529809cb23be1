//! Signatures of apk version 3: ECDSA on P-256 with SHA-512, made by the feed's key and checked by the public key in
//! `/etc/apk/keys`.

use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use sha2::{Digest as _, Sha512};

use crate::adb::container::Schema;
use crate::{Hex, Problem};

/// Version of the signature block, and its hash: SHA-512.
const HEADER: [u8; 2] = [0, 4];

/// Length of the block before the signature proper.
const HEADER_LENGTH: usize = 18;

/// Names a key: the first bytes of SHA-512 over its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 16]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// The feed's private key for apk. Debug does not show it.
pub struct PrivateKey(SigningKey);

/// The public half, as access points keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PrivateKey {
    /// A key from the system's randomness.
    pub fn generate() -> Result<PrivateKey, Problem> {
        loop {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| Problem::new(format!("no randomness: {error}")))?;
            // One in 2^32 draws is not below the order of the curve.
            if let Ok(key) = SigningKey::from_slice(&bytes) {
                return Ok(PrivateKey(key));
            }
        }
    }

    /// Reads PEM, as `openssl ecparam -name prime256v1 -genkey -noout` or `openssl genpkey` write it.
    pub fn from_pem(pem: &str) -> Result<PrivateKey, Problem> {
        let sec1 = || p256::SecretKey::from_sec1_pem(pem).map(SigningKey::from);
        SigningKey::from_pkcs8_pem(pem)
            .or_else(|_| sec1())
            .map(PrivateKey)
            .map_err(|error| Problem::new(format!("no private key on P-256 (prime256v1) in PEM: {error}")))
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> Result<String, Problem> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).map_err(|error| Problem::new(error.to_string()))?;
        Ok(pem.to_string())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// Signs a payload: the content of its signature block.
    pub fn sign(&self, schema: Schema, payload: &[u8]) -> Result<Vec<u8>, Problem> {
        let header = header(self.public().id());
        let signature: DerSignature = self
            .0
            .sign_prehash(&prehash(schema, &header, payload))
            .map_err(|error| Problem::new(format!("cannot sign: {error}")))?;
        Ok([&header[..], signature.as_bytes()].concat())
    }
}

impl PublicKey {
    /// Reads PEM.
    pub fn from_pem(pem: &str) -> Result<PublicKey, Problem> {
        VerifyingKey::from_public_key_pem(pem)
            .map(PublicKey)
            .map_err(|error| Problem::new(format!("no public key on P-256 in PEM: {error}")))
    }

    /// The key as PEM, for `/etc/apk/keys`.
    pub fn to_pem(&self) -> Result<String, Problem> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| Problem::new(error.to_string()))
    }

    /// The id in signatures made by it.
    pub fn id(&self) -> KeyId {
        let hash = Sha512::digest(self.0.to_sec1_point(false).as_bytes());
        // SHA-512 has 64 bytes.
        KeyId(std::array::from_fn(|index| hash[index]))
    }

    /// Checks the content of a signature block against a payload.
    pub fn verify(&self, schema: Schema, payload: &[u8], block: &[u8]) -> Result<(), Problem> {
        let by = key_id(block)?;
        if by != self.id() {
            return Err(Problem::new(format!("signed by key {by}, not by {}", self.id())));
        }
        let (header, signature) = block.split_at(HEADER_LENGTH);
        let signature =
            DerSignature::from_bytes(signature).map_err(|_| Problem::new("the signature is damaged"))?;
        self.0
            .verify_prehash(&prehash(schema, header, payload), &signature)
            .map_err(|_| Problem::new("the signature does not fit the content"))
    }
}

/// Who made the signature in a block.
pub fn key_id(block: &[u8]) -> Result<KeyId, Problem> {
    match block.split_first_chunk::<HEADER_LENGTH>() {
        Some((header, _)) if header[..2] == HEADER => {
            // The id is what follows the first two bytes of the header.
            Ok(KeyId(std::array::from_fn(|index| header[2 + index])))
        }
        Some(_) => Err(Problem::new("a signature of an unknown version or hash")),
        None => Err(Problem::new("a signature block is cut off")),
    }
}

fn header(id: KeyId) -> [u8; HEADER_LENGTH] {
    std::array::from_fn(|index| if index < 2 { HEADER[index] } else { id.0[index - 2] })
}

/// What is signed: schema, header and the payload's hash, hashed.
fn prehash(schema: Schema, header: &[u8], payload: &[u8]) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(schema.bytes());
    hash.update(header);
    hash.update(Sha512::digest(payload));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by openssl: a public key, and the block it makes of a signature by `openssl dgst -sha512 -sign`.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX18ammOF7v2sS78JkcoAItKiQyAo\n\
        nYtUvgzKD734nW3PtkarV6VPTgJ+BE/eEG8TrUh5yL27A4BflLbj1NKdPA==\n\
        -----END PUBLIC KEY-----\n";
    const BLOCK: &[u8] = b"\x00\x04\
        \x19\x07\x50\x07\xf9\xe9\xf8\x8d\x86\x5c\x00\x4d\xa7\x08\xab\xd9\
        \x30\x44\x02\x20\x11\xad\x7c\x5e\xd7\xe4\xbf\x7f\x51\xee\x21\xe1\x92\x26\xb2\xf9\x83\x77\x88\xdf\xba\
        \x8c\x3a\x98\x94\x94\xd3\x3d\xea\xe4\xd9\x6c\x02\x20\x3e\x9f\x8e\x01\x8d\xd9\xd7\x5a\xe6\x3a\x99\x04\
        \xec\xfe\xf4\x08\xeb\xde\x15\xbd\x1f\x67\x66\xd8\x69\xf2\xb2\xe7\x45\x4f\xf8\xdc";

    #[test]
    fn a_signature_of_openssl_is_verified() {
        let key = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!(key.id().to_string(), "19075007f9e9f88d865c004da708abd9");
        assert_eq!(key.verify(Schema::Index, b"payload of an index", BLOCK), Ok(()));
        let wrong = "the signature does not fit the content";
        assert_eq!(
            key.verify(Schema::Package, b"payload of an index", BLOCK).unwrap_err().to_string(),
            wrong
        );
        assert_eq!(key.verify(Schema::Index, b"payload of an Index", BLOCK).unwrap_err().to_string(), wrong);
        assert_eq!(key.to_pem().unwrap(), PUBLIC);
    }

    #[test]
    fn keys_are_read_in_both_kinds_of_pem() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pem(&pem).unwrap().public(), key.public());
        let secret = p256::SecretKey::from_slice(&key.0.to_bytes()).unwrap();
        let sec1 = secret.to_sec1_pem(LineEnding::LF).unwrap();
        assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pem(&sec1).unwrap().public(), key.public());
        assert!(PrivateKey::from_pem(PUBLIC).unwrap_err().to_string().contains("no private key on P-256"));
        assert_eq!(format!("{key:?}"), "***");
    }

    #[test]
    fn the_same_content_is_signed_by_the_same_bytes() {
        let key = PrivateKey::generate().unwrap();
        let block = key.sign(Schema::Index, b"payload").unwrap();
        assert_eq!(key.sign(Schema::Index, b"payload").unwrap(), block);
        assert_eq!(key.public().verify(Schema::Index, b"payload", &block), Ok(()));
    }

    proptest! {
        #[test]
        fn any_block_is_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..99), own in any::<bool>()) {
            let key = PublicKey::from_pem(PUBLIC).unwrap();
            let block = if own { [&BLOCK[..18], &bytes].concat() } else { bytes };
            prop_assert!(key.verify(Schema::Index, b"payload of an index", &block).is_err());
        }
    }
}
