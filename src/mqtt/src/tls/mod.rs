//! TLS 1.3 to the broker: whom to trust, who we are, and a [`tunnel`] that brings it under the MQTT library. For
//! access points: they may have no clock, and their owners often no certificate authority.

mod dates;
mod trust;
pub(crate) mod tunnel;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::dates::Dates;
use crate::tls::trust::{Authorities, Pinned};
pub use crate::tls::trust::{BadFingerprint, Fingerprint};

/// How the broker is known.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// By a certificate that one of these authorities signed for its name: PEM, one certificate after the other.
    Authorities(&'a [u8]),
    /// By this very certificate, whatever name and dates are in it.
    Fingerprint(Fingerprint),
}

/// Who we are, for a broker that asks. PEM both.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// Our certificate, and those between it and its authority.
    pub certificates: &'a [u8],
    /// The certificate's private key.
    pub key: &'a [u8],
}

/// What tells the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The time now.
    pub now: fn() -> SystemTime,
    /// While it is earlier than this, such as the date of the build, the clock was never set, and the dates in
    /// certificates are not judged.
    pub set_after: SystemTime,
}

/// What was wrong with what TLS was to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTls {
    /// The authorities, and why.
    Authorities(String),
    /// Our certificates, and why.
    Certificates(String),
    /// Our key, and why.
    Key(String),
}

/// TLS 1.3 as one broker is spoken to.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    /// There is a private key in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the certificates; nothing is asked of the broker yet.
    pub fn new(trust: Trust<'_>, identity: Option<Identity<'_>>, clock: Clock) -> Result<Tls, BadTls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            // Only a provider without a cipher suite for TLS 1.3 is refused.
            .map_err(|error| BadTls::Authorities(error.to_string()))?
            .dangerous();
        let builder = match trust {
            Trust::Fingerprint(fingerprint) => {
                builder.with_custom_certificate_verifier(Arc::new(Pinned::new(fingerprint, &provider)))
            }
            Trust::Authorities(pem) => {
                let authorities = Authorities::new(pem, Arc::clone(&provider), Dates::new(clock))
                    .map_err(BadTls::Authorities)?;
                builder.with_custom_certificate_verifier(Arc::new(authorities))
            }
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificates = certificates(identity.certificates).map_err(BadTls::Certificates)?;
                let key = key(identity.key, &provider)?;
                let config = builder.with_client_auth_cert(certificates, key);
                config.map_err(|error| {
                    let another = matches!(error, rustls::Error::InconsistentKeys(_));
                    BadTls::Key(if another {
                        "not the key of our certificate".to_owned()
                    } else {
                        error.to_string()
                    })
                })?
            }
        };
        config.time_provider = Arc::new(Dates::new(clock));
        Ok(Tls { config: Arc::new(config) })
    }
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("no certificate in it: there is no -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(certificates)
}

fn key(pem: &[u8], provider: &CryptoProvider) -> Result<PrivateKeyDer<'static>, BadTls> {
    // The library's words could hold a piece of the key.
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        BadTls::Key("no private key in it that can be read: PEM, without a passphrase".to_owned())
    })?;
    let usable = provider.key_provider.load_private_key(key.clone_key());
    usable.map_err(|_| {
        BadTls::Key("not a key of a kind that is known: EC P-256 or P-384, Ed25519, RSA".into())
    })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { now: SystemTime::now, set_after: SystemTime::UNIX_EPOCH };
    const PINNED: Trust<'_> = Trust::Fingerprint(Fingerprint::from_bytes([7; 32]));

    #[test]
    fn files_that_make_no_sense_are_refused() {
        let hollow = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
        for pem in [&b""[..], b"\xff\x00", b"nonsense", broken, hollow] {
            let refused = Tls::new(Trust::Authorities(pem), None, CLOCK);
            assert!(matches!(refused, Err(BadTls::Authorities(_))), "{refused:?}");
        }
        let no_certificate = Identity { certificates: b"", key: b"" };
        let refused = Tls::new(PINNED, Some(no_certificate), CLOCK);
        assert!(matches!(refused, Err(BadTls::Certificates(_))), "{refused:?}");
    }

    #[test]
    fn a_bad_key_is_not_shown() {
        let hollow = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for key in ["hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"] {
            let identity = Identity { certificates: hollow, key: key.as_bytes() };
            let Err(BadTls::Key(why)) = Tls::new(PINNED, Some(identity), CLOCK) else { panic!("taken") };
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
