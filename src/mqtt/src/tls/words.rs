//! What went wrong with TLS, in words that a person can do something about.

#![expect(clippy::wildcard_enum_match_arm, reason = "errors and alerts, of which there will be more")]

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::link::Lost;
use crate::tls::trust::Differs;

const NO_TLS: &str = "what listens there does not speak TLS 1.3: is it the port for mqtts://, usually 8883?";

/// Why there was no handshake.
pub(super) fn handshake(error: &io::Error) -> Lost {
    if let Some(error) = of_tls(error) {
        return Lost::plain(tls(error));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Lost::plain(NO_TLS)
        }
        _ => Lost::io(error),
    }
}

/// Why the connection ended after the handshake; `None` where the broker just closed it. With TLS 1.3 this is when
/// the broker says that it does not like our certificate, and the reset may overtake its words.
pub(super) fn after(error: &io::Error, connected: bool) -> Option<Lost> {
    if let Some(error) = of_tls(error) {
        return Some(Lost::plain(tls(error)));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof if connected => None,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            if !connected =>
        {
            Some(Lost::plain(
                "the broker broke off after the TLS handshake: does it want a client certificate, or another?",
            ))
        }
        _ => Some(Lost::io(error)),
    }
}

fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => of_broker(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerIncompatible(_) => {
            NO_TLS.to_owned()
        }
        error => format!("TLS: {error}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        // Somebody made the authority anew, under its old name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the broker's certificate is unknown: no authority in the CA file has signed it".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the broker's certificate has expired, by the clock here".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the broker's certificate is not valid yet, by the clock here".to_owned()
        }
        CertificateError::NotValidForName => "the broker's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("the broker's certificate is for no name, and so not for {}", expected.to_str())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            format!("the broker's certificate is for {}, not for {}", names.join(", "), expected.to_str())
        }
        CertificateError::Other(error) if error.0.is::<Differs>() => error.0.to_string(),
        // The library has no variant of its own for it.
        CertificateError::Other(error) if error.0.to_string() == "CaUsedAsEndEntity" => {
            "the broker's certificate signed itself, like an authority's: give its fingerprint instead of a CA file"
                .to_owned()
        }
        CertificateError::Other(error) => format!("the broker's certificate: {}", error.0),
        error => format!("the broker's certificate: {error}"),
    }
}

/// A name as a person writes it, out of `DnsName("nas.lan")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn of_broker(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the broker wants a client certificate".to_owned(),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            format!("the broker does not take our client certificate: {alert:?}")
        }
        AlertDescription::ProtocolVersion => "the broker does not speak TLS 1.3".to_owned(),
        alert => format!("the broker ended TLS: {alert:?}"),
    }
}
