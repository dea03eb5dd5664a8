//! What came back: status, the few headers that matter, JSON. Whatever is no good answer is an error of that call.

use std::time::Duration;

use azure_core::http::headers::{HeaderName, Headers};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;
use sreg_domain::{CallFailure, Cause};

use super::call::Call;
use super::envelope::{self, Deepest};
use super::error::{self, cause_of_code, cause_of_status};

/// A good answer: 2xx, and either no body or JSON.
#[derive(Debug, Clone)]
pub(crate) struct ArmResponse {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) async_operation: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) correlation_id: String,
    /// Length of the body as it came.
    pub(super) length: usize,
    attempt: String,
}

impl ArmResponse {
    /// Tells a good answer from an error. `correlation` is what we sent, for servers that name none.
    pub(crate) fn parse(
        call: &Call,
        status: u16,
        headers: &Headers,
        body: &[u8],
        correlation: String,
    ) -> Result<ArmResponse, CallFailure> {
        let header = |name: &'static str| {
            headers
                .get_optional_string(&HeaderName::from_static(name))
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let correlation_id = header("x-ms-correlation-request-id")
            .or_else(|| header("x-ms-request-id"))
            .unwrap_or(correlation);
        let azure_spoke = header("x-ms-request-id").is_some() || header("x-ms-correlation-request-id").is_some();
        let retry_after = retry_after(
            header("x-ms-retry-after-ms")
                .or_else(|| header("retry-after-ms"))
                .as_deref(),
            header("retry-after").as_deref(),
            Timestamp::now(),
        );
        let body_length = body.len();
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        let json: Result<Option<Value>, ()> = if text.is_empty() {
            Ok(None)
        } else {
            serde_json::from_slice(text).map(Some).map_err(|_| ())
        };
        let error = |cause: Cause, deepest: Option<Deepest>, message: String| {
            let (code, said) = deepest.map_or((None, None), |d| (d.code, d.message));
            CallFailure {
                attempt: call.attempt.clone(),
                cause,
                status: Some(status),
                code,
                message: said.unwrap_or(message),
                correlation_id: Some(correlation_id.clone()),
                retry_after,
                // A 5xx may come from in front of what did the work; a 2xx that cannot be read surely comes after it.
                may_have_taken_effect: call.changes() && (status >= 500 || (200..300).contains(&status)),
            }
        };
        let good = (200..300).contains(&status);
        match json {
            Err(()) if good => Err(error(
                Cause::Nonsense,
                None,
                format!("answered {status} with what is no JSON: {}", excerpt(text)),
            )),
            Err(()) => {
                let cause = if status == 404 {
                    Cause::Nonsense
                } else {
                    cause_of_status(status)
                };
                Err(error(
                    cause,
                    None,
                    format!("answered {status} without an error that can be read: {}", excerpt(text)),
                ))
            }
            Ok(body) if good => match body
                .as_ref()
                .filter(|_| !call.error_is_an_answer)
                .and_then(envelope::in_good_answer)
            {
                Some(deepest) => {
                    let cause = deepest
                        .code
                        .as_deref()
                        .and_then(cause_of_code)
                        .unwrap_or(Cause::Nonsense);
                    Err(error(
                        cause,
                        Some(deepest),
                        format!("answered {status} carrying an error"),
                    ))
                }
                None => Ok(ArmResponse {
                    status,
                    body,
                    async_operation: header("azure-asyncoperation"),
                    location: header("location"),
                    retry_after,
                    correlation_id,
                    length: body_length,
                    attempt: call.attempt.clone(),
                }),
            },
            Ok(body) => {
                let deepest = body.as_ref().and_then(envelope::deepest);
                let cause = error::cause(status, deepest.as_ref(), body.is_some() || azure_spoke);
                Err(error(cause, deepest, format!("answered {status} with no reason given")))
            }
        }
    }

    /// An answer for tables in tests.
    #[cfg(test)]
    pub(crate) fn for_tests(status: u16, body: Option<Value>) -> ArmResponse {
        ArmResponse {
            status,
            body,
            async_operation: None,
            location: None,
            retry_after: None,
            correlation_id: "test".to_owned(),
            length: 0,
            attempt: "test".to_owned(),
        }
    }

    /// The body, which must be an object.
    pub(crate) fn object(self) -> Result<Value, CallFailure> {
        match self.body {
            Some(Value::Object(map)) => Ok(Value::Object(map)),
            None => Err(self.nonsense("the body is empty")),
            Some(_) => Err(self.nonsense("the body is no object")),
        }
    }

    /// An error of this call: the answer cannot be what was asked for.
    pub(crate) fn nonsense(&self, why: &str) -> CallFailure {
        CallFailure {
            status: Some(self.status),
            correlation_id: Some(self.correlation_id.clone()),
            ..CallFailure::local(self.attempt.as_str(), Cause::Nonsense, why)
        }
    }
}

/// First characters of a body that is no JSON, fit for a sentence. Tags are left out: of an HTML page the text remains.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..4096.min(body.len())).unwrap_or_default());
    let mut out = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                out.push(' ');
            }
            _ if in_tag || c.is_control() && !c.is_whitespace() => {}
            _ => out.push(c),
        }
    }
    let words: Vec<&str> = out.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(160).collect();
    if short.is_empty() {
        format!("{} bytes", body.len())
    } else {
        format!("{short:?}")
    }
}

/// How long to wait: milliseconds if given, else whole seconds or an HTTP date. At most an hour; nonsense is no answer.
fn retry_after(milliseconds: Option<&str>, header: Option<&str>, now: Timestamp) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let parsed = milliseconds
        .and_then(|v| v.parse::<u64>().ok())
        .map(Duration::from_millis)
        .or_else(|| {
            let value = header?;
            if let Ok(seconds) = value.parse::<f64>() {
                return Duration::try_from_secs_f64(seconds).ok();
            }
            let until = DateTimeParser::new().parse_timestamp(value).ok()?;
            Some(until.duration_since(now).try_into().unwrap_or(Duration::ZERO))
        });
    parsed.map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call::get("https://arm.test/x".parse().unwrap(), "read x", None, None)
    }

    fn parse(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Result<ArmResponse, CallFailure> {
        let mut map = Headers::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        ArmResponse::parse(&call(), status, &map, body.as_bytes(), "ours".into())
    }

    #[test]
    fn an_answer_that_is_no_answer_is_an_error_of_that_call_with_its_correlation_id() {
        let id = [("x-ms-correlation-request-id", "their-id")];
        let html =
            "<!DOCTYPE html><html><head><title>Sorry</title></head><body>Our services aren't available</body></html>";
        let table: [(u16, &str, Cause); 12] = [
            (200, html, Cause::Nonsense),
            (200, r#"{"id": "/subscr"#, Cause::Nonsense),
            (
                200,
                r#"{"error": {"code": "SomethingNew", "message": "m"}}"#,
                Cause::Nonsense,
            ),
            (
                200,
                r#"{"error": {"code": "AuthorizationFailed", "message": "m"}}"#,
                Cause::Forbidden,
            ),
            (502, html, Cause::Unreachable),
            (503, "", Cause::Unreachable),
            (404, html, Cause::Nonsense),
            (403, html, Cause::Forbidden),
            (429, html, Cause::Throttled),
            (302, "", Cause::Nonsense),
            (
                404,
                r#"{"error": {"code": "ResourceNotFound", "message": "m"}}"#,
                Cause::Missing,
            ),
            (404, "", Cause::Missing),
        ];
        for (status, body, cause) in table {
            let error = parse(status, &id, body).unwrap_err();
            assert_eq!(error.cause, cause, "{status} {body}");
            assert_eq!(error.correlation_id.as_deref(), Some("their-id"), "{status} {body}");
            assert!(!error.message.contains('<'), "{}", error.message);
        }
        assert_eq!(
            parse(404, &[], "").unwrap_err().cause,
            Cause::Nonsense,
            "nobody who speaks for Azure said so"
        );
        assert_eq!(
            parse(500, &[], "{}").unwrap_err().correlation_id.as_deref(),
            Some("ours")
        );
    }

    #[test]
    fn good_answers_keep_unknown_fields_and_may_be_empty() {
        let answer = parse(
            200,
            &[("azure-asyncoperation", "https://arm.test/op")],
            "\u{feff}{\"a\":{\"b\":[1]}}",
        )
        .unwrap();
        assert_eq!(answer.body, Some(serde_json::json!({"a": {"b": [1]}})));
        assert_eq!(answer.async_operation.as_deref(), Some("https://arm.test/op"));
        assert_eq!(parse(202, &[], "").unwrap().body, None);
        assert!(parse(200, &[], "").unwrap().object().is_err());
        assert!(parse(200, &[], "[1]").unwrap().object().is_err());
        // A resource may have a null error field.
        assert!(parse(200, &[], r#"{"id": "x", "error": null}"#).is_ok());
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_bounded() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let seconds = |ms, header| retry_after(ms, header, now).map(|d| d.as_secs_f64());
        assert_eq!(seconds(None, Some("17")), Some(17.0));
        assert_eq!(seconds(Some("1500"), Some("17")), Some(1.5));
        assert_eq!(seconds(None, Some("Mon, 23 Nov 2026 10:00:30 GMT")), Some(30.0));
        assert_eq!(seconds(None, Some("Mon, 23 Nov 2026 09:00:30 GMT")), Some(0.0));
        assert_eq!(seconds(None, Some("99999999")), Some(3600.0));
        for nonsense in ["soon", "-5", "NaN", "inf", "1e300", ""] {
            assert!(seconds(None, Some(nonsense)).is_none_or(|s| s <= 3600.0), "{nonsense}");
        }
        assert_eq!(seconds(None, None), None);
    }
}
