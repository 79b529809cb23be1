//! What `[mqtt]` and `[home_assistant]` say of TLS: how the broker of `mqtts://` is known, and the certificate we show it. The keys are called
//! as the agent's options are. `check` reads the files too, so that what is wrong with them is said with its place.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use whichroom_mqtt::{BadTls, Clock, Fingerprint, Identity, Tls, Trust};

use super::read::Reader;
use super::walk::Section;

/// Keys that are for `mqtts://` alone.
pub(super) const KEYS: [&str; 4] = ["ca", "fingerprint", "cert", "key"];

/// A bundle of all public authorities is 230 kB.
const BYTES_MAX: u64 = 1 << 20;

/// TLS to the broker.
#[derive(Debug, Clone)]
pub struct BrokerTls {
    /// As the session takes it.
    pub tls: Tls,
    /// How the broker is known; access points know it by the same.
    pub known_by: KnownBy,
    /// Stands for the certificate that we show and its key: another one is another configuration.
    shown: Option<u64>,
}

/// Read again from the same words and files it is the same; the library's own value cannot be compared.
impl PartialEq for BrokerTls {
    fn eq(&self, other: &BrokerTls) -> bool {
        (&self.known_by, self.shown) == (&other.known_by, other.shown)
    }
}

impl Eq for BrokerTls {}

/// How a broker is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownBy {
    /// By an authority that signed its certificate.
    Authority {
        /// The file it is in, as it was named.
        file: PathBuf,
        /// What is in the file.
        pem: Vec<u8>,
    },
    /// By its certificate.
    Fingerprint(Fingerprint),
}

/// A file that was read, and where it was named.
struct Named {
    span: Range<usize>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    /// TLS for a broker at `mqtts://`, whose address stands at `url`.
    pub(super) fn tls(&mut self, section: &Section<'_>, url: &Range<usize>) -> Option<BrokerTls> {
        let before = self.walk.mistakes();
        let known_by = self.known_by(section, url);
        let identity = self.identity(section);
        // The library would say the same once more.
        let known_by = known_by.filter(|_| self.walk.mistakes() == before)?;
        let trust = match &known_by {
            KnownBy::Authority { pem, .. } => Trust::Authorities(pem),
            KnownBy::Fingerprint(fingerprint) => Trust::Fingerprint(*fingerprint),
        };
        let shown =
            identity.as_ref().map(|(cert, key)| Identity { certificates: &cert.bytes, key: &key.bytes });
        match Tls::new(trust, shown, clock()) {
            Ok(tls) => Some(BrokerTls { tls, known_by, shown: identity.as_ref().map(hash) }),
            Err(bad) => {
                let (key, why) = match bad {
                    BadTls::Authorities(why) => ("ca", why),
                    BadTls::Certificates(why) => ("cert", why),
                    BadTls::Key(why) => ("key", why),
                };
                let place = section.span_of(key).unwrap_or(url.clone());
                self.walk.mistake(&place, format!("{}.{key}: {why}", section.path));
                None
            }
        }
    }

    /// Without TLS nothing is silently less safe than it was meant.
    pub(super) fn no_tls(&mut self, section: &Section<'_>) {
        for key in KEYS {
            if let Some(span) = section.span_of(key) {
                let why = format!(
                    "{}.{key} is for a broker at mqtts://, and this one is spoken to in plain",
                    section.path
                );
                self.walk.mistake(&span, why);
            }
        }
    }

    fn known_by(&mut self, section: &Section<'_>, url: &Range<usize>) -> Option<KnownBy> {
        let fingerprint = self.walk.parsed(section, "fingerprint", |text| {
            let hint = "; openssl x509 -in broker.pem -noout -fingerprint -sha256 prints it";
            text.parse::<Fingerprint>().map_err(|error| format!("{error}{hint}"))
        });
        let ca = self.file(section, "ca");
        match (section.has("ca"), section.span_of("fingerprint")) {
            (false, None) => {
                let path = &section.path;
                let text = format!(
                    "mqtts:// needs to know the broker: give {path}.ca, a file with the authority that signed \
                     its certificate, or {path}.fingerprint, the certificate's SHA-256"
                );
                self.walk.mistake(url, text);
                None
            }
            (true, Some(span)) => {
                let path = &section.path;
                let text = format!(
                    "{path}.fingerprint beside {path}.ca: one certificate, or an authority; keep one of them"
                );
                self.walk.mistake(&span, text);
                None
            }
            (true, None) => ca.map(|ca| KnownBy::Authority { file: ca.path, pem: ca.bytes }),
            (false, Some(_)) => fingerprint.map(|fingerprint| KnownBy::Fingerprint(fingerprint.value)),
        }
    }

    /// Our certificate and its key; both or neither.
    fn identity(&mut self, section: &Section<'_>) -> Option<(Named, Named)> {
        let (cert, key) = (self.file(section, "cert"), self.file(section, "key"));
        let path = &section.path;
        for (one, other) in [("cert", "key"), ("key", "cert")] {
            if let Some(span) = section.span_of(one).filter(|_| !section.has(other)) {
                self.walk.mistake(&span, format!("{path}.{one} is there without {path}.{other}"));
            }
        }
        if let Some(key) = key.as_ref().filter(|key| is_open(&key.path)) {
            let file = key.path.display();
            self.walk.suspicious(&key.span, format!("everybody can read the key: chmod 600 {file}"));
        }
        cert.zip(key)
    }

    fn file(&mut self, section: &Section<'_>, key: &str) -> Option<Named> {
        let text = self.walk.text(section, key)?;
        let path = self.directory.join(&text.value);
        match read(&path) {
            Ok(bytes) => Some(Named { span: text.span, path, bytes }),
            Err(why) => {
                self.walk.mistake(&text.span, format!("{}.{key}: {}: {why}", section.path, path.display()));
                None
            }
        }
    }
}

/// Tells one identity from another within this process.
fn hash((cert, key): &(Named, Named)) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&cert.bytes, &key.bytes).hash(&mut hasher);
    hasher.finish()
}

/// A server knows what time it is.
fn clock() -> Clock {
    Clock { now: SystemTime::now, set_after: SystemTime::UNIX_EPOCH }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if bytes.len() as u64 > BYTES_MAX => Err(format!("it has more than {BYTES_MAX} bytes")),
        Ok(_) => Ok(bytes),
    }
}

fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerChoice, parse};
    use super::*;

    const PRINT: &str = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";

    fn remarks(text: &str) -> Vec<String> {
        let remarks = parse(text, Path::new("/nonexistent")).1;
        remarks.iter().map(|remark| remark.display(Path::new("f"))).collect()
    }

    #[test]
    fn a_fingerprint_is_enough() {
        let text = format!("[mqtt]\nurl = \"mqtts://nas\"\nfingerprint = \"{PRINT}\"\n");
        let (config, remarks) = parse(&text, Path::new("/nonexistent"));
        let config = config.unwrap_or_else(|| panic!("{remarks:?}"));
        let BrokerChoice::External(broker) = config.broker else { panic!("{:?}", config.broker) };
        assert_eq!(broker.url(), "mqtts://nas:8883");
        assert_eq!(broker.tls.map(|tls| tls.known_by), Some(KnownBy::Fingerprint(PRINT.parse().unwrap())));
    }

    #[test]
    fn every_mistake_is_said_at_its_place() {
        assert_eq!(
            remarks(
                "[mqtt]\nurl = \"mqtts://nas\"\nca = \"gone.pem\"\nfingerprint = \"ab\"\ncert = \"c.pem\"\nca_file = 1\n"
            ),
            [
                "f:3:6: error: mqtt.ca: /nonexistent/gone.pem: No such file or directory (os error 2)",
                "f:4:15: error: mqtt.fingerprint = \"ab\": not the 64 hexadecimal digits of a SHA-256 fingerprint; openssl x509 -in broker.pem -noout -fingerprint -sha256 prints it",
                "f:4:15: error: mqtt.fingerprint beside mqtt.ca: one certificate, or an authority; keep one of them",
                "f:5:8: error: mqtt.cert: /nonexistent/c.pem: No such file or directory (os error 2)",
                "f:5:8: error: mqtt.cert is there without mqtt.key",
                "f:6:1: error: unknown key \"ca_file\" in [mqtt]; known here: url, username, password, password_file, listen, user, ca, fingerprint, cert, key",
            ]
        );
    }

    #[test]
    fn an_unknown_broker_and_what_is_only_for_tls_are_refused() {
        assert!(
            remarks("[mqtt]\nurl = \"mqtts://nas\"\n")[0].starts_with("f:2:7: error: mqtts:// needs to know")
        );
        let plain = remarks(&format!("[mqtt]\nurl = \"mqtt://nas\"\nfingerprint = \"{PRINT}\"\n"));
        assert!(
            plain[0].starts_with("f:3:15: error: mqtt.fingerprint is for a broker at mqtts://"),
            "{plain:?}"
        );
        let embedded = remarks("[mqtt]\nca = \"x\"\n");
        assert!(embedded[0].contains("mqtt.ca belongs to mqtt.url"), "{embedded:?}");
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let text = "[mqtt]\nurl = \"mqtts://nas\"\nca = \"/dev/null\"\n";
        assert_eq!(
            remarks(text),
            ["f:3:6: error: mqtt.ca: no certificate in it: there is no -----BEGIN CERTIFICATE-----"]
        );
        let text = format!(
            "[mqtt]\nurl = \"mqtts://nas\"\nfingerprint = \"{PRINT}\"\ncert = \"/dev/null\"\nkey = \"/dev/null\"\n"
        );
        let remarks = remarks(&text).join("\n");
        assert!(remarks.contains("f:4:8: error: mqtt.cert: no certificate"), "{remarks}");
    }
}
