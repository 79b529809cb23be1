//! The page: compiled in, on a thread of its own, so that no browser ever holds up a decision. The main loop hands it
//! the whole state as JSON text ([`page_json`]) while somebody looks; every open page is sent it when it changes.
//! Commands (`commands`) are handed to the main loop and answered by it.
//!
//! Whoever is at this machine may look and change; whoever comes over the network signs in (`gate`). It trusts nobody
//! further than that: only known Host headers, only GET but for commands, small headers, few connections, a content
//! security policy without inline anything, and nothing that is loaded from elsewhere.

mod adopt;
mod calibration;
mod commands;
mod crowd;
pub mod doors;
pub mod feed;
mod gate;
mod history;
pub(crate) mod hosts;
pub mod metrics;
mod outdated;
pub mod packages;
mod page;
mod sign_in;

pub use adopt::Adopt;
pub use gate::Gate;
pub use history::Past;
pub use page::{PageContext, Simulation, page_json};

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::stream::{self, Stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::access::Visitor;
use crate::command::{Command, Outcome};
use crowd::{Crowd, Place};
use gate::Peer;
use hosts::Hosts;

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const ROAMING_PAGE: &str = include_str!("assets/roaming.html");
const ROAMING_STYLE: &str = include_str!("assets/roaming.css");
const ROAMING_SCRIPT: &str = include_str!("assets/roaming.js");
const TIMELINE_SCRIPT: &str = include_str!("assets/timeline.js");
const COMMON_SCRIPT: &str = include_str!("assets/common.js");
const ADOPT_SCRIPT: &str = include_str!("assets/adopt.js");
const SIGN_IN_STYLE: &str = include_str!("assets/sign-in.css");
const SIGN_IN_SCRIPT: &str = include_str!("assets/sign-in.js");
const SCRIPT: &str = include_str!("assets/page.js");
const CALIBRATE_SCRIPT: &str = include_str!("assets/calibrate.js");

/// Open pages that are kept up to date; a home has a handful.
const EVENTS_MAX: usize = 32;
/// Connections at a time; further ones wait until one closes.
const CONNECTIONS_MAX: usize = 96;
/// Looks at the history at a time: each may hold a week of signals in memory.
const LOOKS_MAX: usize = 1;
/// All headers of a request together, in bytes.
const HEADERS_MAX: usize = 16 << 10;
/// Number of headers of a request.
const HEADERS_COUNT_MAX: usize = 64;
/// Somebody who connects and says nothing, or nothing more, is let go after this.
const HEADERS_WAIT: Duration = Duration::from_secs(10);
/// An open page is sent a new state at most this often.
const EVENT_EVERY: Duration = Duration::from_millis(250);
/// The present state is waited for this long, then the last one is shown.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// Silence on an open page's connection is broken after this, so that proxies keep it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Waits after the system refused a connection, usually for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Everything comes from here, nothing is inline, nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served at an address.
#[derive(Clone, Copy)]
struct Service {
    /// In the log, and of the thread.
    name: &'static str,
    /// The section of the configuration with its `listen`.
    section: &'static str,
    /// A connection is open for at most this long.
    connection_max: Option<Duration>,
}

const PAGE_SERVICE: Service = Service { name: "page", section: "web", connection_max: None };

/// A running page or feed. Dropping it stops it.
pub struct WebServer {
    service: Service,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The page or the feed could not be opened.
#[derive(Debug)]
pub struct StartError {
    section: &'static str,
    address: SocketAddr,
    error: io::Error,
}

/// What the page wants of the main loop.
pub enum Ask {
    /// Somebody looks: the state that is handed over is to be the present one.
    Look,
    /// The present, for Prometheus.
    Metrics(oneshot::Sender<String>),
    /// To be carried out and answered.
    Command(Command, oneshot::Sender<Outcome>),
}

/// The page's side of the main loop.
#[derive(Clone)]
pub struct Desk {
    /// The whole state. Every open page holds a receiver of its own, beside this one.
    pub state: watch::Receiver<Arc<str>>,
    /// Hands something to the main loop; never blocks.
    pub ask: Arc<dyn Fn(Ask) + Send + Sync>,
    /// Where the past is, if it is kept.
    pub past: Option<Past>,
    /// Makes unknown devices somebody's, if there is a configuration file.
    pub adopt: Option<Arc<Adopt>>,
}

impl Desk {
    /// Whether a page is open whose state is to be kept up to date.
    pub fn is_watched(state: &watch::Sender<Arc<str>>) -> bool {
        state.receiver_count() > 1
    }
}

/// Opens the page. It answers to addresses, `localhost` and `allowed_hosts`, and lets in whom `gate` does.
pub fn start(
    listen: SocketAddr,
    allowed_hosts: Vec<String>,
    desk: Desk,
    gate: Arc<Gate>,
) -> Result<WebServer, StartError> {
    let watch = Arc::clone(&gate).watch(doors::is_open(listen, &allowed_hosts));
    open(PAGE_SERVICE, listen, watch, |address| {
        let hosts = Hosts::new(address, &allowed_hosts);
        router(Arc::new(Shared {
            hosts,
            desk,
            gate,
            events: Arc::new(Semaphore::new(EVENTS_MAX)),
            looks: Semaphore::new(LOOKS_MAX),
            adoptions: Semaphore::new(1),
        }))
    })
}

/// Opens a service whose routes follow from the address it got. `beside` runs for as long as it is open.
fn open(
    service: Service,
    listen: SocketAddr,
    beside: impl Future<Output = ()> + Send + 'static,
    routes: impl FnOnce(SocketAddr) -> Router,
) -> Result<WebServer, StartError> {
    try_open(service, listen, beside, routes).map_err(|error| StartError {
        section: service.section,
        address: listen,
        error,
    })
}

fn try_open(
    service: Service,
    listen: SocketAddr,
    beside: impl Future<Output = ()> + Send + 'static,
    routes: impl FnOnce(SocketAddr) -> Router,
) -> io::Result<WebServer> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = watch::channel(false);
    let router = routes(address);
    let thread = thread::Builder::new().name(service.name.into());
    // Connections that are still open end with the runtime.
    let thread = thread.spawn(move || {
        runtime.block_on(async {
            let beside = tokio::spawn(beside);
            serve(service, listener, router, stopped).await;
            beside.abort();
        });
    })?;
    Ok(WebServer { service, address, stop, thread: Some(thread) })
}

impl WebServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it and every connection to it.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return };
        if thread.join().is_err() {
            log::error!("the {}'s thread had panicked", self.service.name);
        }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)?;
        if self.error.kind() == io::ErrorKind::AddrInUse {
            write!(f, "; another program has this port, choose one with [{}] listen", self.section)?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What requests share.
struct Shared {
    hosts: Hosts,
    desk: Desk,
    gate: Arc<Gate>,
    events: Arc<Semaphore>,
    /// Looks at the history at a time.
    looks: Semaphore,
    /// The configuration is written by one at a time.
    adoptions: Semaphore,
}

async fn serve(
    service: Service,
    listener: tokio::net::TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let crowd = Arc::new(Crowd::default());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let Some(place) = crowd.enter(peer.0) else { continue };
                drop(tokio::spawn(answer(service, stream, peer, router.clone(), (permit, place))));
            }
            Err(error) => {
                log::warn!("the {} cannot take a connection: {error}", service.name);
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, Peer, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, Peer(peer.ip()), permit))
}

async fn answer(
    service: Service,
    stream: tokio::net::TcpStream,
    peer: Peer,
    router: Router,
    _places: (OwnedSemaphorePermit, Place),
) {
    let routes = TowerToHyperService::new(router);
    let with_peer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WAIT)
        .max_buf_size(HEADERS_MAX)
        .max_headers(HEADERS_COUNT_MAX)
        .serve_connection(TokioIo::new(stream), with_peer);
    let ended = match service.connection_max {
        // Who takes longer is cut off: the connection ends where it is.
        Some(longest) => timeout(longest, connection).await.unwrap_or(Ok(())),
        None => connection.await,
    };
    if let Err(error) = ended {
        log::debug!("{}: {error}", service.name);
    }
}

/// Everything there is. Who may have it is the guard's business, for all of it.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    vec![
        ("/", get(|| asset("text/html; charset=utf-8", PAGE))),
        ("/page.css", get(|| asset("text/css; charset=utf-8", STYLE))),
        ("/roaming", get(|| asset("text/html; charset=utf-8", ROAMING_PAGE))),
        ("/roaming.css", get(|| asset("text/css; charset=utf-8", ROAMING_STYLE))),
        ("/roaming.js", get(|| asset("text/javascript; charset=utf-8", ROAMING_SCRIPT))),
        ("/timeline.js", get(|| asset("text/javascript; charset=utf-8", TIMELINE_SCRIPT))),
        ("/common.js", get(|| asset("text/javascript; charset=utf-8", COMMON_SCRIPT))),
        ("/adopt.js", get(|| asset("text/javascript; charset=utf-8", ADOPT_SCRIPT))),
        ("/page.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT))),
        ("/calibrate.js", get(|| asset("text/javascript; charset=utf-8", CALIBRATE_SCRIPT))),
        ("/sign-in", get(sign_in::page).post(sign_in::submit)),
        ("/sign-in.css", get(|| asset("text/css; charset=utf-8", SIGN_IN_STYLE))),
        ("/sign-in.js", get(|| asset("text/javascript; charset=utf-8", SIGN_IN_SCRIPT))),
        ("/api/session", get(sign_in::session)),
        ("/api/sign-out", post(sign_in::sign_out)),
        ("/api/state", get(state)),
        ("/api/events", get(events)),
        ("/api/timeline", get(history::timeline)),
        ("/api/report", get(history::report)),
        ("/api/device", get(history::device)),
        ("/api/radios", get(history::radios)),
        ("/api/adopt", post(adopt::adopt)),
        ("/api/{command}", post(commands::command)),
        ("/metrics", get(scrape)),
        ("/healthz", get(|| async { "ok\n" })),
    ]
}

fn router(shared: Arc<Shared>) -> Router {
    let add = |router: Router<_>, (path, route)| router.route(path, route);
    routes()
        .into_iter()
        .fold(Router::new(), add)
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here. The page is at /\n") })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate::guard))
        .with_state(shared)
}

/// Rules for browsers, on every answer.
fn rules() -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ]
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn state(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let state = present(&shared.desk).await.borrow().to_string();
    ([(header::CONTENT_TYPE, "application/json")], state)
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let (reply, replied) = oneshot::channel();
    (shared.desk.ask)(Ask::Metrics(reply));
    match timeout(LOOK_WAIT, replied).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The aggregator is busy or stopping.\n").into_response()
        }
    }
}

/// The state as it is now. While nobody looks it is not kept up to date, so this asks for it.
async fn present(desk: &Desk) -> watch::Receiver<Arc<str>> {
    let mut state = desk.state.clone();
    state.mark_unchanged();
    (desk.ask)(Ask::Look);
    // A main loop that is this late says nothing new.
    let _ = timeout(LOOK_WAIT, state.changed()).await;
    state
}

async fn events(State(shared): State<Arc<Shared>>, Extension(visitor): Extension<Visitor>) -> Response {
    let Ok(permit) = Arc::clone(&shared.events).try_acquire_owned() else {
        let text = format!("{EVENTS_MAX} pages are open already; close one.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let state = present(&shared.desk).await;
    let changes = shared.gate.changes();
    let gate = Arc::clone(&shared.gate);
    let follow =
        Follow { state, gate, visitor, changes, next_at: Instant::now(), is_new: true, _permit: permit };
    Sse::new(states(follow)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// One open page.
struct Follow {
    state: watch::Receiver<Arc<str>>,
    gate: Arc<Gate>,
    visitor: Visitor,
    /// Who may look may have changed.
    changes: watch::Receiver<()>,
    next_at: Instant,
    is_new: bool,
    _permit: OwnedSemaphorePermit,
}

/// The state at once, then whenever it changed, but not too often. Who reads slowly misses states, never the newest. It
/// ends with the right to look.
fn states(follow: Follow) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follow, |mut follow| async move {
        if !std::mem::take(&mut follow.is_new) {
            follow.news().await?;
            sleep_until(follow.next_at).await;
        }
        if !follow.gate.is_still_in(&follow.visitor) {
            return None;
        }
        follow.next_at = Instant::now() + EVENT_EVERY;
        let state = Arc::clone(&follow.state.borrow_and_update());
        Some((Ok(Event::default().event("state").data(&*state)), follow))
    })
}

impl Follow {
    /// Waits for another state; `None` if there is to be none.
    async fn news(&mut self) -> Option<()> {
        loop {
            tokio::select! {
                changed = self.state.changed() => return changed.ok(),
                changed = self.changes.changed() => changed.ok()?,
            }
            if !self.gate.is_still_in(&self.visitor) {
                return None;
            }
        }
    }
}

#[cfg(test)]
pub mod example;
#[cfg(test)]
mod tests;
