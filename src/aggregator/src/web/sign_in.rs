//! The page to sign in on, which sets the password the first time; and signing out. It works without scripts.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Form, FromRequest as _, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Shared;
use super::commands::{error, json, may_change, read_body};
use super::gate::{Peer, Refused, set_cookie};
use crate::access::secret::password_fault;
use crate::access::{Denied, SESSION_S, Visitor};

pub(super) const PAGE: &str = include_str!("assets/sign-in.html");
/// What is asked for.
pub(super) const SIGN_IN: &str = include_str!("assets/sign-in-fields.html");
/// What is asked for where there is no password.
pub(super) const SET_PASSWORD: &str = include_str!("assets/set-password-fields.html");
/// Longest form, in bytes.
const FORM_MAX: usize = 8 << 10;

/// As on every page, but that it sends a form, to here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Where to go once signed in.
#[derive(Default, Deserialize)]
pub(super) struct Whereto {
    #[serde(default)]
    to: String,
}

/// What is typed.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Typed {
    #[serde(default)]
    code: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    password_again: String,
    #[serde(flatten)]
    whereto: Whereto,
}

/// `GET /sign-in`.
pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    whereto: Result<Query<Whereto>, QueryRejection>,
) -> Response {
    // Who asks for nonsense is led to the first page.
    let to = whereto.map_or_else(|_| String::new(), |Query(whereto)| whereto.page());
    if shared.gate.session(&headers).await.is_some() {
        return go(&to);
    }
    if !shared.gate.has_password() {
        shared.gate.want_code();
    }
    shown(&shared, StatusCode::OK, "", &to)
}

/// `POST /sign-in`.
pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let headers = head.headers.clone();
    let Ok(body) = read_body(body, FORM_MAX).await else {
        return shown(&shared, StatusCode::PAYLOAD_TOO_LARGE, "The form does not come, or is too long.", "");
    };
    let form = Form::<Typed>::from_request(Request::from_parts(head, Body::from(body)), &()).await;
    let Ok(Form(typed)) = form else {
        return shown(&shared, StatusCode::BAD_REQUEST, "The form does not read.", "");
    };
    let to = typed.whereto.page();
    let signed_in = if shared.gate.has_password() {
        shared.gate.sign_in(peer, &typed.password).await
    } else {
        if let Some(fault) = password_fault(&typed.password, &typed.password_again) {
            return shown(&shared, StatusCode::UNPROCESSABLE_ENTITY, &fault, &to);
        }
        shared.gate.set_password(peer, &typed.code, typed.password).await
    };
    match signed_in {
        Ok(cookie) => {
            let mut response = go(&to);
            response.headers_mut().insert(header::SET_COOKIE, set_cookie(&headers, &cookie, SESSION_S));
            response
        }
        Err(refused) => shown(&shared, status(&refused), &said(&refused, shared.gate.has_password()), &to),
    }
}

fn said(refused: &Refused, has_password: bool) -> String {
    match refused {
        Refused::Denied(Denied::Wrong) if has_password => "That is not the password.".to_owned(),
        Refused::Denied(Denied::Wrong) => "That is not the code in the log.".to_owned(),
        Refused::Denied(_) | Refused::Busy | Refused::Failed(_) => refused.to_string(),
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Denied(Denied::TooOften { .. }) => StatusCode::TOO_MANY_REQUESTS,
        Refused::Denied(_) => StatusCode::FORBIDDEN,
        Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Whereto {
    /// A page of ours, whatever was asked for.
    fn page(&self) -> String {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        self.to.bytes().filter(|&byte| is_plain(byte)).map(char::from).take(32).collect()
    }
}

fn go(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("./{to}"))]).into_response()
}

fn shown(shared: &Shared, status: StatusCode, says: &str, to: &str) -> Response {
    let has_password = shared.gate.has_password();
    let (title, fields) = if has_password { ("Sign in", SIGN_IN) } else { ("Set a password", SET_PASSWORD) };
    // Screen readers read the title first, and then what has the role of an alert.
    let before = if says.is_empty() { String::new() } else { format!("{} ", escaped(says)) };
    let alert = if says.is_empty() {
        String::new()
    } else {
        format!("<p id=\"sign-in-says\" class=\"trouble\" role=\"alert\">{}</p>", escaped(says))
    };
    let page = PAGE
        .replace("@BEFORE@", &before)
        .replace("@TITLE@", title)
        .replace("@FIELDS@", fields)
        .replace("@SAYS@", &alert)
        .replace("@TO@", to);
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Without a referrer a browser does not say either where a form comes from.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Text as a part of a page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `GET /api/session`: how a browser that asks is let in, if it is.
pub(super) async fn session(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    match shared.gate.visitor(peer, &headers).await {
        Ok(visitor) => {
            let by = match visitor {
                Some(Visitor::Local) => Some("local"),
                Some(Visitor::Session(_)) => Some("session"),
                Some(Visitor::Token(_)) => Some("token"),
                None => None,
            };
            json(StatusCode::OK, serde_json::json!({ "by": by }).to_string())
        }
        Err(refused) => refused.into_response(),
    }
}

/// What is to end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignOut {
    #[serde(default)]
    everywhere: bool,
}

/// `POST /api/sign-out`.
pub(super) async fn sign_out(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err((status, text)) = may_change(&head.headers, &visitor) {
        return error(status, text);
    }
    let body = match read_body(body, FORM_MAX).await {
        Ok(body) => body,
        Err((status, text)) => return error(status, text),
    };
    let body = if body.is_empty() { &b"{}"[..] } else { &body };
    let what: SignOut = match serde_json::from_slice(body) {
        Ok(what) => what,
        Err(why) => return error(StatusCode::BAD_REQUEST, &format!("sign-out: {why}")),
    };
    shared.gate.sign_out(&visitor, what.everywhere).await;
    let mut response = json(StatusCode::OK, "{}".to_owned());
    response.headers_mut().insert(header::SET_COOKIE, set_cookie(&head.headers, "", 0));
    response
}
