//! `POST /api/adopt`: an unknown device becomes somebody's, in the configuration's file. Done on a thread of its own,
//! since it writes to a disk; the main loop then takes the new configuration as on SIGHUP.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Shared;
use super::commands::{BODY_WAIT, READ_ONLY, error, is_json, json};
use crate::access::Visitor;
use crate::command::BODY_MAX;
use crate::config::Adoption;

/// Writes an adoption into the configuration and hands the new one over. Errors are words.
pub type Adopt = dyn Fn(&Adoption) -> Result<(), String> + Send + Sync;

pub(super) async fn adopt(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err((status, text)) = is_json(&head.headers) {
        return error(status, text);
    }
    if !visitor.may_change() {
        return error(StatusCode::FORBIDDEN, READ_ONLY);
    }
    let Some(adopt) = shared.desk.adopt.clone() else {
        return error(
            StatusCode::CONFLICT,
            "there is no configuration file to write it to; whichroom init makes one",
        );
    };
    let Ok(Ok(body)) = timeout(BODY_WAIT, to_bytes(body, BODY_MAX)).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the body does not come, or is too long");
    };
    let adoption: Adoption = match serde_json::from_slice(&body) {
        Ok(adoption) => adoption,
        Err(why) => return error(StatusCode::BAD_REQUEST, &format!("adopt: {why}")),
    };
    // Two at once would overwrite each other's.
    let Ok(_turn) = shared.adoptions.acquire().await else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping");
    };
    match spawn_blocking(move || adopt(&adoption)).await {
        Ok(Ok(())) => json(StatusCode::OK, "{}".to_owned()),
        Ok(Err(why)) => error(StatusCode::CONFLICT, &why),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "it broke off; see the log"),
    }
}
