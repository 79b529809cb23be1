//! `POST /api/<name>`: commands, as JSON. They come from the page and from the command line, never from a page of
//! somebody else's: a browser sends JSON across origins only after asking, which is never granted; `gate` looks where a
//! request comes from.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Ask, Shared};
use crate::access::Visitor;
use crate::command::{BODY_MAX, Command, Outcome, Refusal};

/// Somebody who sends a body slowly is let go after this.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// The main loop answers within microseconds; it may be writing its state to a slow disk.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Answers a command.
pub(super) async fn command(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err((status, text)) = is_json(&head.headers) {
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
    if command.changes() && !visitor.may_change() {
        return error(StatusCode::FORBIDDEN, READ_ONLY);
    }
    let (reply, replied) = oneshot::channel();
    (shared.desk.ask)(Ask::Command(command, reply));
    match timeout(ANSWER_WAIT, replied).await {
        Ok(Ok(outcome)) => answer(&outcome),
        Ok(Err(_)) => error(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping"),
        Err(_) => error(StatusCode::GATEWAY_TIMEOUT, "the aggregator is busy; try again"),
    }
}

const READ_ONLY: &str =
    "this token may only look; whichroom token NAME --change makes one that may change something";

/// Why something is refused.
pub(super) type Why = (StatusCode, &'static str);

/// Whether somebody who sends a change may.
pub(super) fn may_change(headers: &HeaderMap, visitor: &Visitor) -> Result<(), Why> {
    is_json(headers)?;
    if visitor.may_change() { Ok(()) } else { Err((StatusCode::FORBIDDEN, READ_ONLY)) }
}

/// A body of at most so many bytes, if it comes in time.
pub(super) async fn read_body(body: Body, most: usize) -> Result<Bytes, Why> {
    match timeout(BODY_WAIT, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok(body),
        _ => Err((StatusCode::PAYLOAD_TOO_LARGE, "the body does not come, or is too long")),
    }
}

/// Whether it is sent as no form of somebody else's page can send it.
fn is_json(headers: &HeaderMap) -> Result<(), Why> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "commands are sent as Content-Type: application/json"))
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
