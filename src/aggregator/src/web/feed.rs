//! The feed that access points install their agent from, on a listener of its own, with the installer and the authority
//! of a broker with TLS. All of it is public, and packages are signed, so it needs no sign-in; for the same reason
//! nothing else is ever served here. `run` starts it where there are packages to serve.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::packages::{KEYS, Packages, feed_file};
use super::{Service, StartError, WebServer, open, rules};

const INSTALLER: &str = include_str!("assets/install.sh");
/// Where the installer has the feed's address.
const ADDRESS_MARK: &str = "FEED='@FEED@'";
/// Where the feed is below the listener's address.
const ROOT: &str = "/feed/";
/// The authority of the broker, in the feed.
pub const CA: &str = "broker-ca.pem";
const TEXT: &str = "text/plain; charset=utf-8";
const HOST_MAX: usize = 255;
/// An access point with a bad connection still gets a package within this.
const CONNECTION_MAX: Duration = Duration::from_secs(120);

const SERVICE: Service = Service { name: "feed", section: "feed", connection_max: Some(CONNECTION_MAX) };

/// Opens the feed. `ca` is the authority of the broker, in PEM, for access points to know it by.
pub fn start(listen: SocketAddr, packages: Packages, ca: Option<Vec<u8>>) -> Result<WebServer, StartError> {
    open(SERVICE, listen, std::future::pending(), |_| router(Arc::new(Served { packages, ca })))
}

/// Everything that is served beside the installer.
struct Served {
    packages: Packages,
    ca: Option<Vec<u8>>,
}

fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/feed/", get(index))
        .route("/feed/install.sh", get(installer))
        .route("/feed/broker-ca.pem", get(authority))
        .route("/feed/{*path}", get(file))
        .fallback(|| async { nothing() })
        .layer(middleware::from_fn(with_rules))
        .with_state(served)
}

async fn with_rules(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, rule) in rules() {
        response.headers_mut().insert(name, HeaderValue::from_static(rule));
    }
    response
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here. The feed is at /feed/\n").into_response()
}

/// What there is, for a person with a browser.
async fn index(State(served): State<Arc<Served>>) -> Response {
    let ca = served.ca.is_some().then_some(CA);
    let packages = served.packages.listing();
    let paths = packages.iter().map(|package| package.path.as_str());
    let names = ["install.sh"].into_iter().chain(KEYS).chain(ca).chain(paths);
    let text: String = names.flat_map(|name| [name, "\n"]).collect();
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

/// The installer, with the address that it was asked for by: what served it serves the packages.
async fn installer(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_host(host)) else {
        return (StatusCode::BAD_REQUEST, "A request needs a Host header.\n").into_response();
    };
    let script =
        INSTALLER.replace(ADDRESS_MARK, &format!("FEED='http://{host}{}'", ROOT.trim_end_matches('/')));
    ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], script).into_response()
}

/// It becomes a part of a script: nothing but what names, addresses and ports are made of.
fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-_".contains(&byte);
    !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(is_plain)
}

async fn authority(State(served): State<Arc<Served>>) -> Response {
    match &served.ca {
        Some(pem) => ([(header::CONTENT_TYPE, TEXT)], pem.clone()).into_response(),
        None => nothing(),
    }
}

/// A file. The path is taken as it was sent, escapes and all: no name in a feed needs any.
async fn file(State(served): State<Arc<Served>>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(ROOT).unwrap_or_default();
    let Some(file) = feed_file(path) else { return nothing() };
    // Small files from a disk nearby, on the feed's own thread: nobody but other access points waits.
    match served.packages.read(file) {
        Ok(bytes) => ([(header::CONTENT_TYPE, file.kind())], bytes).into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => nothing(),
        Err(error) => {
            log::warn!("feed: {path}: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "This file cannot be read; the log says why.\n")
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installer_has_one_place_for_the_address_and_hosts_cannot_write_a_script() {
        assert_eq!(INSTALLER.matches(ADDRESS_MARK).count(), 1);
        for host in ["192.168.1.2:8738", "[fd00::1]:8738", "server.lan", "my_server"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", "a b", "a'b", "$(x)", "a\"", "a/b", "a;b", "a\\"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
