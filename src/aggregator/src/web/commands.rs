//! `POST /api/<name>`: commands, as JSON. They come from the page and from the command line, never from a page of
//! somebody else's: a browser sends JSON across origins only after asking, which is never granted, and says where a
//! request comes from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Ask, Shared};
use crate::command::{BODY_MAX, Command, Outcome, Refusal};

/// Somebody who sends a body slowly is let go after this.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(10);
/// The main loop answers within microseconds; it may be writing its state to a slow disk.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Answers a command.
pub(super) async fn command(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err((status, text)) = from_here(&head.headers) {
        return error(status, text);
    }
    let body = match timeout(BODY_WAIT, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!("the body does not come, or has more than {BODY_MAX} bytes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        Err(_) => return error(StatusCode::REQUEST_TIMEOUT, "the body takes too long"),
    };
    let command = match Command::read(&name, &body) {
        Ok(command) => command,
        Err(refusal) => return answer(&Err(refusal)),
    };
    if command.changes() && !is_private(shared.address.ip()) {
        return error(StatusCode::FORBIDDEN, NO_SIGN_IN);
    }
    let (reply, replied) = oneshot::channel();
    (shared.desk.ask)(Ask::Command(command, reply));
    match timeout(ANSWER_WAIT, replied).await {
        Ok(Ok(outcome)) => answer(&outcome),
        Ok(Err(_)) => error(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping"),
        Err(_) => error(StatusCode::GATEWAY_TIMEOUT, "the aggregator is busy; try again"),
    }
}

pub(super) const NO_SIGN_IN: &str = "the page is open to the network and has no sign-in, so it takes no commands that change \
    anything; set [web] listen to a loopback address such as 127.0.0.1:8737, and send them from the same machine";

/// Whether only this machine reaches what listens there.
pub(super) fn is_private(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// Whether a browser can only have sent it for our own page.
pub(super) fn from_here(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "commands are sent as Content-Type: application/json",
        ));
    }
    const ELSEWHERE: (StatusCode, &str) =
        (StatusCode::FORBIDDEN, "commands are taken from the page itself only");
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(ELSEWHERE);
    }
    // The Host header was found to be ours before.
    let host = text(header::HOST).unwrap_or_default();
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if from.is_some_and(|from| from.eq_ignore_ascii_case(host)) { Ok(()) } else { Err(ELSEWHERE) }
}

fn answer(outcome: &Outcome) -> Response {
    match outcome {
        // Structs with string keys always serialize.
        Ok(answer) => json(StatusCode::OK, serde_json::to_string(answer).unwrap_or_default()),
        Err(refusal @ Refusal::Malformed(_)) => error(StatusCode::BAD_REQUEST, &refusal.to_string()),
        Err(refusal @ Refusal::Unknown(_)) => error(StatusCode::NOT_FOUND, &refusal.to_string()),
        Err(refusal @ Refusal::Impossible(_)) => error(StatusCode::CONFLICT, &refusal.to_string()),
    }
}

pub(super) fn error(status: StatusCode, text: &str) -> Response {
    json(status, serde_json::json!({ "error": text }).to_string())
}

pub(super) fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
