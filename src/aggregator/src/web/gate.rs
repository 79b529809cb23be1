//! Lets in who may come in. Everything is private unless it is listed as public: a new route needs no thought to be safe.
//! Somebody at this machine comes in as they are; a browser by its session, a program by its token. This is the shell
//! of `access`: it reads requests, clocks, randomness and files, and does what is slow on threads of its own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::commands::error;
use super::hosts::{Hosts, is_loopback_name};
use super::{Shared, rules};
use crate::access::secret::Hash;
use crate::access::store::Store;
use crate::access::{Access, Denied, Look, Now, Password, Token, Visitor};
use crate::config::SignIn;
use crate::state::random;

/// What everybody may have: how to sign in, and whether this runs at all.
pub(super) const PUBLIC: [&str; 6] =
    ["/healthz", "/sign-in", "/sign-in.css", "/sign-in.js", "/page.css", "/api/session"];
/// Name of the session's cookie.
const COOKIE: &str = "whichroom_session";
/// Cookies of this name that are tried; another program on this host may have set one.
const COOKIES_MAX: usize = 4;
/// Passwords and tokens that wait to be verified; each takes some 20 MB and 20 ms, one at a time.
const WAITING_MAX: usize = 8;
/// How often the password's file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Who a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who may come in, for all requests.
pub struct Gate {
    access: Mutex<Access>,
    store: Option<Store>,
    sign_in: SignIn,
    started: Instant,
    waiting: Semaphore,
    hashing: Semaphore,
    /// Sessions are written by one at a time.
    writing: tokio::sync::Mutex<()>,
    /// Somebody may not be let in any more: open pages look whether it is them.
    changed: watch::Sender<()>,
}

/// Why somebody is sent away.
pub(super) enum Refused {
    /// By the rules.
    Denied(Denied),
    /// Too many passwords are being verified.
    Busy,
    /// Something here does not work.
    Failed(String),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Refused {
        Refused::Denied(denied)
    }
}

impl Gate {
    /// With what is kept in `store`; without one a password holds until the program ends.
    pub fn new(store: Option<Store>, sign_in: SignIn, tokens: Vec<Token>) -> Result<Gate, String> {
        let password = store.as_ref().map_or(Password::Unset, |store| {
            store.load_password().unwrap_or_else(|error| store.unreadable(&error.to_string()))
        });
        say_unreadable(&password);
        let sessions = store.as_ref().map_or(Vec::new(), |store| store.load_sessions(&password));
        Ok(Gate {
            access: Mutex::new(Access::new(random()?, password, sessions, tokens)),
            store,
            sign_in,
            started: Instant::now(),
            waiting: Semaphore::new(WAITING_MAX),
            hashing: Semaphore::new(1),
            writing: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(()),
        })
    }

    /// Takes the tokens of a configuration that was read again.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.access().handle_tokens(tokens);
        self.changed.send_replace(());
    }

    /// Nothing in it is ever half done, so a panic elsewhere leaves it whole.
    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { ms, unix_s: Timestamp::now().as_second() }
    }

    /// Somebody who is not at this machine may want to come in.
    pub(super) fn want_code(&self) {
        self.access().want_code();
        self.offer_code();
    }

    /// Shows a code in the log, if one is wanted. It is in the log and nowhere else.
    fn offer_code(&self) {
        let code = self.access().offer_code(self.now(), random);
        if let Some(code) = code {
            log::warn!(
                "the page has no password yet: open it, and set one with the one-time code {code} (good for {} min)",
                crate::access::CODE_MS / 60_000
            );
        }
    }

    /// Looks after the code and the password's file, for as long as the page is open.
    pub(super) async fn watch(self: Arc<Gate>, hosts_are_open: bool) {
        if hosts_are_open {
            self.access().want_code();
        }
        let mut ticks = interval(WATCH_EVERY);
        loop {
            ticks.tick().await;
            // A file of a hundred bytes, on the page's own thread. A disk that fails for a moment signs nobody out.
            if let Some(Ok(password)) = self.store.as_ref().map(Store::load_password) {
                self.handle_password(password);
            }
            self.offer_code();
        }
    }

    fn handle_password(&self, password: Password) {
        let is_set = password != Password::Unset;
        if !self.access().handle_password(password.clone()) {
            return;
        }
        say_unreadable(&password);
        log::warn!(
            "the page's password {}; nobody is signed in any more",
            if is_set { "changed" } else { "was reset" }
        );
        self.changed.send_replace(());
    }

    /// Who asks, if they may come in.
    pub(super) async fn visitor(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Option<Visitor>, Refused> {
        if self.sign_in == SignIn::Network && is_local(peer, headers) {
            return Ok(Some(Visitor::Local));
        }
        match bearer(headers) {
            Some(token) => self.visitor_with(peer, token).await.map(Some),
            None => Ok(self.session(headers).await),
        }
    }

    /// Who the session's cookie says they are.
    pub(super) async fn session(&self, headers: &HeaderMap) -> Option<Visitor> {
        let now = self.now();
        let (digest, is_noted) =
            cookies(headers).take(COOKIES_MAX).find_map(|cookie| self.access().visit(cookie, now))?;
        if is_noted {
            self.keep_sessions().await;
        }
        Some(Visitor::Session(digest))
    }

    async fn visitor_with(&self, peer: IpAddr, shown: &str) -> Result<Visitor, Refused> {
        let looked = self.access().look_up(peer, shown, self.now())?;
        let token = match looked {
            Look::Known(token) => return Ok(Visitor::Token(token)),
            Look::Verify(token) => token,
        };
        if !self.verify(token.hash.clone(), shown.to_owned()).await? {
            return Err(Denied::Wrong.into());
        }
        let is_good = self.access().handle_verified(peer, &token, shown);
        if is_good { Ok(Visitor::Token(token)) } else { Err(Denied::Wrong.into()) }
    }

    /// Whether somebody who came in still would.
    pub(super) fn is_still_in(&self, visitor: &Visitor) -> bool {
        self.access().is_still_in(visitor, self.now())
    }

    /// Changes whenever somebody may not be let in any more.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether there is a password to sign in with.
    pub(super) fn has_password(&self) -> bool {
        *self.access().password() != Password::Unset
    }

    /// Signs somebody in: the cookie.
    pub(super) async fn sign_in(&self, peer: IpAddr, password: &str) -> Result<String, Refused> {
        let hash = self.access().begin_sign_in(peer, self.now())?;
        if !self.verify(hash.clone(), password.to_owned()).await? {
            log::warn!("{peer} tried to sign in with a wrong password");
            return Err(Denied::Wrong.into());
        }
        let random = random().map_err(Refused::Failed)?;
        let cookie = self.access().sign_in(peer, &hash, &random, self.now());
        let cookie = cookie.ok_or(Denied::Wrong)?;
        log::info!("{peer} signed in");
        self.keep_sessions().await;
        Ok(cookie)
    }

    /// Sets the first password, and signs its owner in: the cookie.
    pub(super) async fn set_password(
        &self,
        peer: IpAddr,
        code: &str,
        password: String,
    ) -> Result<String, Refused> {
        let taken = self.access().take_code(peer, code, self.now());
        if let Err(denied) = taken {
            if denied == Denied::Wrong {
                log::warn!("{peer} tried to set a password with a wrong code");
            }
            // The next one, if that was one too many.
            self.offer_code();
            return Err(denied.into());
        }
        let hash = match self.keep_password(password).await {
            Ok(hash) => hash,
            Err(refused) => {
                // The code is used up.
                self.access().want_code();
                return Err(refused);
            }
        };
        let random = random().map_err(Refused::Failed)?;
        let cookie = self.access().set_password(hash, &random, self.now());
        log::warn!("{peer} set the page's password");
        self.keep_sessions().await;
        Ok(cookie)
    }

    async fn keep_password(&self, password: String) -> Result<Hash, Refused> {
        let salt = random().map_err(Refused::Failed)?;
        let hash = self.slowly(move || Hash::new(&password, &salt)).await?.map_err(Refused::Failed)?;
        let Some(store) = self.store.clone() else { return Ok(hash) };
        let kept = hash.clone();
        let kept = spawn_blocking(move || store.save_password(&kept)).await;
        kept.map_err(|error| Refused::Failed(error.to_string()))?
            .map_err(|error| Refused::Failed(format!("the password cannot be kept: {error}")))?;
        Ok(hash)
    }

    /// Ends the session of a visitor, or every session.
    pub(super) async fn sign_out(&self, visitor: &Visitor, everywhere: bool) {
        match visitor {
            _ if everywhere => self.access().sign_out_all(),
            Visitor::Session(digest) => self.access().sign_out(digest),
            Visitor::Local | Visitor::Token(_) => return,
        }
        self.changed.send_replace(());
        self.keep_sessions().await;
    }

    async fn verify(&self, hash: Hash, secret: String) -> Result<bool, Refused> {
        self.slowly(move || hash.is_of(&secret)).await
    }

    /// Does what takes memory and time, one at a time, while few wait.
    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(Refused::Busy) };
        let Ok(_turn) = self.hashing.acquire().await else { return Err(Refused::Busy) };
        spawn_blocking(work).await.map_err(|error| Refused::Failed(error.to_string()))
    }

    /// A session that cannot be kept is good until the program ends.
    async fn keep_sessions(&self) {
        let Some(store) = self.store.clone() else { return };
        let _turn = self.writing.lock().await;
        let (password, sessions) = {
            let access = self.access();
            let Password::Set(password) = access.password() else { return };
            (password.clone(), access.sessions().to_vec())
        };
        let kept = spawn_blocking(move || store.save_sessions(&password, &sessions)).await;
        if let Ok(Err(error)) = kept {
            log::error!("who is signed in cannot be kept, a restart will ask for the password: {error}");
        }
    }
}

fn say_unreadable(password: &Password) {
    if let Password::Unreadable(why) = password {
        log::error!("nobody can sign in: {why}");
    }
}

/// The value of the cookie for a session, with how it is to be treated. It is `Secure` where a proxy says that the
/// browser came by TLS; on plain HTTP a browser would not send such a one back.
pub(super) fn set_cookie(headers: &HeaderMap, value: &str, lasts_s: i64) -> HeaderValue {
    let is_tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}");
    // Made of what headers take.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether somebody at this machine asks: over loopback, by a name of loopback's, and through no proxy.
fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    const PROXIES: [&str; 7] = [
        "forwarded",
        "via",
        "x-real-ip",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-server",
    ];
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    peer.to_canonical().is_loopback()
        && is_loopback_name(host)
        && !PROXIES.iter().any(|name| headers.contains_key(*name))
}

/// Lets only requests through that are meant for us, from our own pages, by somebody who may.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&shared, request).await {
        Ok(request) => next.run(request).await,
        Err(response) => *response,
    };
    for (name, rule) in rules() {
        // Where a page needs another one, it says so itself.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(rule));
    }
    response
}

/// The request, with who asks, or why not.
async fn admit(shared: &Shared, mut request: Request) -> Result<Request, Box<Response>> {
    is_for_us(&shared.hosts, request.headers())?;
    is_from_here(request.method(), request.headers())?;
    if PUBLIC.contains(&request.uri().path()) {
        return Ok(request);
    }
    // Every connection has one; without it nobody is let in.
    let peer = request.extensions().get::<Peer>().copied();
    let Some(Peer(peer)) = peer else { return Err(Box::new(sign_in_first(&request))) };
    match shared.gate.visitor(peer, request.headers()).await {
        Ok(Some(visitor)) => {
            request.extensions_mut().insert(visitor);
            Ok(request)
        }
        Ok(None) => Err(Box::new(sign_in_first(&request))),
        Err(refused) => Err(Box::new(refused.into_response())),
    }
}

fn is_for_us(hosts: &Hosts, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let mut given = headers.get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        (Some(host), None) if host.to_str().is_ok_and(|host| hosts.allow(host)) => Ok(()),
        (Some(host), None) => {
            let text = hosts.refusal(host.to_str().unwrap_or_default());
            Err(Box::new((StatusCode::MISDIRECTED_REQUEST, text).into_response()))
        }
        _ => Err(Box::new((StatusCode::BAD_REQUEST, "A request needs one Host header.\n").into_response())),
    }
}

/// A browser says where a request comes from. One that is led here by a link of somebody else's may look at a page;
/// nothing else is done for other pages. Programs say nothing.
fn is_from_here(method: &Method, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    let is_own = |origin: &str| {
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        from.is_some_and(|from| from.eq_ignore_ascii_case(host))
    };
    let is_link = *method == Method::GET && text("sec-fetch-mode") == Some("navigate");
    let is_own_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    if text("origin").is_none_or(is_own) && (is_own_site || is_link) {
        return Ok(());
    }
    Err(Box::new(error(StatusCode::FORBIDDEN, "this is for the page's own scripts, and for programs, only")))
}

/// A page leads to the sign-in, everything else says what is missing.
fn sign_in_first(request: &Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok());
    let path = request.uri().path();
    let is_page = !path.starts_with("/api/") && accepts.is_some_and(|kinds| kinds.contains("text/html"));
    if is_page && request.method() == Method::GET {
        let page = path.trim_start_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        let to = if page.bytes().all(is_plain) && !page.is_empty() {
            format!("?to={page}")
        } else {
            String::new()
        };
        // Relative, so that a proxy may put it below a path.
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("sign-in{to}"))]).into_response();
    }
    const TEXT: &str = "this is for who is signed in: a browser at /sign-in, a program with Authorization: Bearer and a \
        token (whichroom token NAME)";
    with_challenge(error(StatusCode::UNAUTHORIZED, TEXT))
}

fn with_challenge(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"whichroom\""));
    response
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Refused::Denied(Denied::TooOften { .. }) => (StatusCode::TOO_MANY_REQUESTS, self.to_string()),
            Refused::Denied(_) => {
                return with_challenge(error(
                    StatusCode::UNAUTHORIZED,
                    "this token is none of [[web.token]]",
                ));
            }
            Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, self.to_string()),
            Refused::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()),
        };
        let mut response = error(status, &text);
        if let Refused::Denied(Denied::TooOften { retry_s }) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_s));
        }
        response
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Denied(Denied::Wrong) => f.write_str("That is wrong."),
            Refused::Denied(Denied::TooOften { retry_s }) => {
                write!(f, "That was wrong too often: try again in {retry_s} seconds.")
            }
            Refused::Denied(Denied::NoPassword) => f.write_str("There is no password yet."),
            Refused::Denied(Denied::NoCode) => {
                f.write_str("That code is no longer good; a new one is in the log within a minute.")
            }
            Refused::Denied(Denied::Unreadable(_)) => {
                f.write_str("The password's file does not read; the log of whichroom says more.")
            }
            Refused::Busy => f.write_str("Many try to sign in at once: try again in a moment."),
            Refused::Failed(why) => write!(f, "It did not work: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
