//! `POST /api/adopt`: an unknown device becomes somebody's, in the configuration's file. Done on a thread of its own,
//! since it writes to a disk; the main loop then takes the new configuration as on SIGHUP.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::task::spawn_blocking;

use super::Shared;
use super::commands::{error, json, may_change, read_body};
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
    if let Err((status, text)) = may_change(&head.headers, &visitor) {
        return error(status, text);
    }
    let Some(adopt) = shared.desk.adopt.clone() else {
        return error(
            StatusCode::CONFLICT,
            "there is no configuration file to write it to; whichroom init makes one",
        );
    };
    let body = match read_body(body, BODY_MAX).await {
        Ok(body) => body,
        Err((status, text)) => return error(status, text),
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
