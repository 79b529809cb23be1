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
