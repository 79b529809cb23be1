//! Whether this is the broker: by authority and name, or by the fingerprint of its certificate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use crate::tls::certificates;
use crate::tls::dates::Dates;

/// SHA-256 of a certificate in DER, as `openssl x509 -noout -fingerprint -sha256` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Fingerprint {
        Fingerprint(bytes)
    }

    fn of(certificate: &CertificateDer<'_>) -> Option<Fingerprint> {
        digest::digest(&digest::SHA256, certificate).as_ref().try_into().ok().map(Fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadFingerprint;

impl fmt::Display for BadFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the 64 hexadecimal digits of a SHA-256 fingerprint")
    }
}

impl std::error::Error for BadFingerprint {}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    /// 64 hexadecimal digits, with or without colons between the bytes.
    fn from_str(text: &str) -> Result<Fingerprint, BadFingerprint> {
        let mut digits = text.chars().filter(|char| *char != ':').map(|char| char.to_digit(16));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let mut digit = || digits.next().flatten().and_then(|digit| u8::try_from(digit).ok());
            let (high, low) = (digit().ok_or(BadFingerprint)?, digit().ok_or(BadFingerprint)?);
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(BadFingerprint) } else { Ok(Fingerprint(bytes)) }
    }
}

/// The broker's certificate is another than the one that was pinned.
#[derive(Debug)]
pub(super) struct Differs {
    pub(super) seen: Fingerprint,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker's certificate has the fingerprint {}, which is not the one given", self.seen)
    }
}

impl std::error::Error for Differs {}

/// Takes one certificate.
#[derive(Debug)]
pub(super) struct Pinned {
    fingerprint: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(fingerprint: Fingerprint, provider: &CryptoProvider) -> Pinned {
        Pinned { fingerprint, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(end_entity).ok_or(CertificateError::BadEncoding)?;
        if seen != self.fingerprint {
            return Err(CertificateError::Other(OtherError(Arc::new(Differs { seen }))).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    /// That the broker has the certificate's key: everybody may have seen the certificate.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes what the authorities signed for the broker's name.
#[derive(Debug)]
pub(super) struct Authorities {
    verifier: Arc<WebPkiServerVerifier>,
    dates: Dates,
}

impl Authorities {
    pub(super) fn new(
        pem: &[u8],
        provider: Arc<CryptoProvider>,
        dates: Dates,
    ) -> Result<Authorities, String> {
        let mut roots = RootCertStore::empty();
        // Of a bundle of many some may be of a kind that is not known.
        let (added, _) = roots.add_parsable_certificates(certificates(pem)?);
        if added == 0 {
            return Err("no certificate in it that can be read".to_owned());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Authorities { verifier: verifier.map_err(|error| error.to_string())?, dates })
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.dates.judge(now, |now| self.verifier.verify_server_cert(end_entity, between, name, ocsp, now))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_printed_anywhere() {
        let plain = "00ff".repeat(16);
        let fingerprint: Fingerprint = plain.parse().unwrap();
        assert_eq!(fingerprint.to_string(), plain);
        let colons = ["00:FF"; 16].join(":");
        assert_eq!(colons.parse(), Ok(fingerprint));
        for bad in ["", "00ff", &plain[1..], &format!("{plain}0"), &"zz".repeat(32), &"é".repeat(64)] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint), "{bad}");
        }
    }
}
