//! What the in-process API server reads out of requests and how it answers: paths, selectors, preconditions, refusals.

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use sreg_runtime::Clock;

use super::api_server::Key;

pub struct ApiResponse {
    pub code: StatusCode,
    pub body: Value,
}

pub type Refusal = Box<ApiResponse>;
pub type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub fn refuse(code: u16, reason: &str, message: impl Into<String>) -> Refusal {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message.into()});
    Box::new(ApiResponse {
        code: StatusCode::from_u16(code).unwrap(),
        body,
    })
}

pub struct Target {
    pub key: Key,
    pub status: bool,
}

/// `/api/v1/…` or `/apis/<group>/<version>/…`, then `[namespaces/<ns>/]<plural>[/<name>[/status]]`.
pub fn target(path: &str) -> Option<Target> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = if segments.first() == Some(&"api") {
        segments.get(2..)?
    } else {
        segments.get(3..)?
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    let key = ((*rest.first()?).to_owned(), namespace.to_owned(), name.to_owned());
    Some(Target {
        key,
        status: rest.get(2) == Some(&"status"),
    })
}

pub fn query(uri: &http::Uri) -> HashMap<String, String> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}
/// Uid and resourceVersion, where the request names them.
pub fn same(present: &Value, request: &Value) -> Result<(), Refusal> {
    for field in ["uid", "resourceVersion"] {
        let wanted = request
            .get("metadata")
            .and_then(|meta| meta.get(field))
            .filter(|wanted| !wanted.is_null());
        if wanted.is_some_and(|wanted| *wanted != present["metadata"][field]) {
            return Err(refuse(409, "Conflict", format!("{field} in the precondition differs")));
        }
    }
    Ok(())
}

pub fn selects(target: &Target, query: &HashMap<String, String>, key: &Key, object: &Value) -> bool {
    let field = query
        .get("fieldSelector")
        .and_then(|selector| selector.strip_prefix("metadata.name="));
    let mut labels = query
        .get("labelSelector")
        .map_or("", String::as_str)
        .split(',')
        .filter_map(|term| term.split_once('='));
    key.0 == target.key.0
        && (target.key.1.is_empty() || target.key.1 == key.1)
        && field.is_none_or(|name| name == key.2)
        && labels.all(|(label, value)| object["metadata"]["labels"][label] == value)
}

pub fn seconds(clock: &Clock) -> String {
    clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub fn respond(answer: &ApiResponse) -> Reply {
    let mut response = Response::new(Full::from(answer.body.to_string()).boxed_unsync());
    *response.status_mut() = answer.code;
    response
}
