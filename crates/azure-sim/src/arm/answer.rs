//! What ARM answers: a body with headers, or an error in the envelope of azure.md §6.3. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

/// A good answer.
#[derive(Debug, Clone)]
pub(crate) struct JsonResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// The operation that was started.
    pub(crate) operation: Option<String>,
}

impl JsonResponse {
    /// This status with this body.
    pub(crate) fn new(status: u16, body: Value) -> JsonResponse {
        JsonResponse {
            status,
            headers: Vec::new(),
            body: Some(body),
            operation: None,
        }
    }

    /// This status with no body.
    pub(crate) fn empty(status: u16) -> JsonResponse {
        JsonResponse {
            status,
            headers: Vec::new(),
            body: None,
            operation: None,
        }
    }

    /// 200 with a list of resources, all of it; `super::paging` cuts it into pages.
    pub(crate) fn list(items: Vec<Value>) -> JsonResponse {
        JsonResponse::new(200, json!({ "value": items }))
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> JsonResponse {
        self.headers.push((name, value.into()));
        self
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct ArmError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
    /// `additionalInfo`.
    pub(crate) additional: Vec<Value>,
    pub(crate) retry_after: Option<u64>,
}

impl ArmError {
    /// A refusal with this status, code and message.
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> ArmError {
        ArmError {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            additional: Vec::new(),
            retry_after: None,
        }
    }

    /// The same with a nested error.
    pub(crate) fn nested(mut self, code: &str, message: impl Into<String>) -> ArmError {
        let message: String = message.into();
        self.details.push(json!({ "code": code, "message": message }));
        self
    }

    /// The same with `Retry-After`.
    pub(crate) fn retry_after(mut self, seconds: u64) -> ArmError {
        self.retry_after = Some(seconds);
        self
    }

    /// 404 for a resource that is not there.
    pub(crate) fn not_found(id: &str) -> ArmError {
        let path = super::path::ArmPath::parse(id);
        let (kind, group) = path.map_or((String::new(), String::new()), |p| {
            let kind = p
                .namespace
                .iter()
                .chain(&p.types)
                .cloned()
                .collect::<Vec<_>>()
                .join("/");
            (format!("{kind}/{}", p.names.join("/")), p.group.unwrap_or_default())
        });
        ArmError::new(
            404,
            "ResourceNotFound",
            format!(
                "The Resource '{kind}' under resource group '{group}' was not found. For more details please go to \
                 https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 501 for what Azure has and the simulator does not; the code is the simulator's own.
    pub(crate) fn not_modelled(what: &str) -> ArmError {
        let said = format!("azure-sim, not Azure, refuses this: it does not model {what} (docs/azure-sim.md).");
        ArmError::new(501, "NotModelledByAzureSim", said)
    }

    /// 400 with code `BadRequest`.
    pub(crate) fn bad_request(message: impl Into<String>) -> ArmError {
        ArmError::new(400, "BadRequest", message)
    }

    /// 405 for a verb that this type does not have.
    pub(crate) fn method(method: &http::Method, kind: &str) -> ArmError {
        ArmError::new(
            405,
            "MethodNotAllowed",
            format!("The method '{method}' is not supported by '{kind}'."),
        )
    }

    /// The `error` object of the envelope.
    pub(crate) fn object(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        for (name, items) in [("details", &self.details), ("additionalInfo", &self.additional)] {
            if !items.is_empty() {
                error[name] = Value::Array(items.clone());
            }
        }
        error
    }

    /// The answer that carries it.
    pub(crate) fn answer(&self) -> JsonResponse {
        let mut answer = JsonResponse::new(self.status, json!({ "error": self.object() }));
        if let Some(seconds) = self.retry_after {
            answer = answer.with("retry-after", seconds.to_string());
        }
        answer
    }
}

/// The answer as HTTP. A header or status that HTTP does not admit is left out.
pub(crate) fn into_response(answer: &JsonResponse) -> Response<Bytes> {
    let body = answer
        .body
        .as_ref()
        .map_or_else(Bytes::new, |b| Bytes::from(b.to_string()));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if answer.body.is_some() {
        insert(headers, "content-type", "application/json; charset=utf-8");
    }
    insert(headers, "cache-control", "no-cache");
    for (name, value) in &answer.headers {
        insert(headers, name, value);
    }
    response
}

/// A part of a path as it travels.
pub(crate) fn encoded(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// Sets a header whose value HTTP admits. Names of other alphabets, in URLs of operations, travel as `%xx` there as well.
pub(crate) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let ascii = if value.is_ascii() {
        Cow::Borrowed(value)
    } else {
        let letters = value.split_inclusive(|_: char| true);
        letters
            .map(|letter| {
                if letter.is_ascii() {
                    letter.to_owned()
                } else {
                    encoded(letter)
                }
            })
            .collect()
    };
    if let Ok(value) = HeaderValue::from_str(&ascii) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
