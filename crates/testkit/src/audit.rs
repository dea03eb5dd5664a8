//! The API server's audit log: an ordered witness of every request, independent of what the requester says about it.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Every request once, when its answer was complete, without bodies. The server's own housekeeping is left out.
pub(crate) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [
    {"level": "None", "users": ["system:apiserver"]},
    {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*", "/version*", "/openapi*", "/api*"]},
    {"level": "Metadata"}
  ]
}"#;

/// One request as the API server answered it. A watch appears when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it was received, RFC 3339 with microseconds, by the server's clock.
    pub at: String,
    /// Who asked, e.g. `system:serviceaccount:operators:operator`; the impersonated user where there is one.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural resource, e.g. `secureregistries`.
    pub resource: String,
    /// The subresource, e.g. `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty (lists, and creations with a generated name).
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl AuditEvent {
    /// Whether it could have changed what is stored: not a read, not refused, and not a question in the form of a creation
    /// (access and token reviews, token requests).
    #[must_use]
    pub fn is_write(&self) -> bool {
        let is_read = matches!(self.verb.as_str(), "get" | "list" | "watch");
        let is_question = matches!(self.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
            || self.subresource == "token";
        !is_read && !is_question && self.code < 400
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    request_received_timestamp: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// Reads the log as far as it has been written; a last line that is still being written is left for the next time.
pub(crate) fn read(log: &Path) -> Result<Vec<AuditEvent>> {
    let text = match std::fs::read_to_string(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("read the audit log {}", log.display()))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| parse(line).with_context(|| format!("parse the audit log's line {line}")))
        .collect()
}

fn parse(line: &str) -> Result<AuditEvent> {
    let line: Line = serde_json::from_str(line)?;
    let object = line.object_ref.unwrap_or_default();
    Ok(AuditEvent {
        at: line.request_received_timestamp,
        user: line.impersonated_user.unwrap_or(line.user).username,
        verb: line.verb,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        code: line.response_status.map_or(0, |status| status.code),
    })
}
