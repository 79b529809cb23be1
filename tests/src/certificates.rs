//! Certificates for one test, made with openssl as a person would make them.

use std::path::PathBuf;
use std::process::Command;

use crate::directory::Directory;

/// What makes a key that is not encrypted.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// An authority in `ca.pem`, and what it signed.
#[derive(Debug)]
pub struct Certificates(Directory);

impl Certificates {
    /// An authority; `broker`, signed by it for 127.0.0.1 and localhost; and `client`, signed by it for a client.
    pub fn new() -> Certificates {
        let certificates = Certificates(Directory::new());
        certificates
            .openssl(&format!("req -x509 {NEW_KEY} -days 30 -subj /CN=ca -keyout ca.key -out ca.pem"));
        certificates.sign("broker", "subjectAltName=IP:127.0.0.1,DNS:localhost");
        certificates.sign("client", "extendedKeyUsage=clientAuth");
        certificates
    }

    fn sign(&self, name: &str, extension: &str) {
        self.0.write("extension", extension);
        self.openssl(&format!("req {NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extension -out {name}.pem"
        ));
    }

    fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}: apt-get install openssl"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file, such as `ca.pem` or `broker.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The SHA-256 of a certificate, as openssl prints it.
    pub fn fingerprint(&self, name: &str) -> String {
        let printed = self.openssl(&format!("x509 -in {name}.pem -noout -fingerprint -sha256"));
        printed.trim().rsplit('=').next().unwrap_or_default().to_owned()
    }

    /// Lines of Mosquitto's configuration for a listener that speaks TLS.
    pub fn listener(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            format!("listener {port} 127.0.0.1"),
            format!("certfile {}", file("broker.pem")),
            format!("keyfile {}", file("broker.key")),
        ]
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}
