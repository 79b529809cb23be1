//! Certificates for one test, made with openssl as a person would make them.

use std::path::PathBuf;
use std::process::Command;

use crate::directory::Directory;

/// An authority, and a broker's certificate that it signed.
#[derive(Debug)]
pub struct Certificates(Directory);

impl Certificates {
    /// Makes them for a broker at 127.0.0.1.
    pub fn new() -> Certificates {
        let certificates = Certificates(Directory::new());
        certificates
            .openssl(&format!("req -x509 {NEW_KEY} -days 30 -subj /CN=ca -keyout ca.key -out ca.pem"));
        certificates.0.write("extension", "subjectAltName=IP:127.0.0.1,DNS:localhost");
        certificates.openssl(&format!("req {NEW_KEY} -subj /CN=broker -keyout broker.key -out broker.csr"));
        certificates.openssl(
            "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extension -out broker.pem",
        );
        certificates
    }

    /// Where the authority's certificate is.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// SHA-256 of the broker's certificate, as openssl prints it.
    pub fn fingerprint(&self) -> String {
        let printed = self.openssl("x509 -in broker.pem -noout -fingerprint -sha256");
        let fingerprint = printed.trim().split_once('=').map(|(_, fingerprint)| fingerprint.to_owned());
        fingerprint.unwrap_or_else(|| panic!("openssl prints no fingerprint: {printed}"))
    }

    /// Lines of Mosquitto's configuration: one more listener, with TLS.
    pub fn listener(&self, port: u16) -> Vec<String> {
        vec![
            format!("listener {port} 127.0.0.1"),
            format!("certfile {}", self.0.join("broker.pem").display()),
            format!("keyfile {}", self.0.join("broker.key").display()),
        ]
    }

    fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}: run apt-get install openssl"));
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// What makes a key that is not encrypted.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}
