//! Stands between azure_identity and the transport and makes Entra's answers readable for it: an escape in
//! `error_description` would turn an answer into a JSON error and lose the AADSTS code; a 200 without a token would count as an
//! empty token; an absurd `expires_in` would overflow. Answers are read under a cap.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};
use sreg_domain::outside::{LONGEST_REASON, words};

/// Longest answer of a token endpoint; tokens are a few kB.
const MAX_BODY: usize = 1 << 20;
/// Longest life of a token that we believe, in seconds.
const LONGEST_LIFE: i64 = 86_400;

/// The transport for token requests.
#[derive(Debug)]
pub(super) struct EntraTransport {
    inner: Arc<dyn HttpClient>,
}

impl EntraTransport {
    pub(super) fn new(inner: Arc<dyn HttpClient>) -> EntraTransport {
        EntraTransport { inner }
    }
}

#[async_trait]
impl HttpClient for EntraTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, mut stream) = self.inner.execute_request(request).await?.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > MAX_BODY {
                let message = format!("the token endpoint's answer is longer than {MAX_BODY} bytes");
                return Err(azure_core::Error::with_message(ErrorKind::DataConversion, message));
            }
        }
        let (status, body) = readable(u16::from(status), &body);
        let mut kept = Headers::new();
        for (name, value) in headers.iter() {
            if !["content-length", "content-encoding", "transfer-encoding"].contains(&name.as_str()) {
                kept.insert(name.clone(), value.clone());
            }
        }
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(status),
            kept,
            body.to_string().into_bytes(),
        ))
    }
}

/// The same answer in the form that azure_identity reads.
fn readable(status: u16, body: &[u8]) -> (u16, Value) {
    let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    if (200..300).contains(&status) {
        let token = json
            .as_ref()
            .and_then(|j| j["access_token"].as_str())
            .filter(|t| !t.is_empty());
        return match token {
            Some(token) => {
                let life = json
                    .as_ref()
                    .map_or(0, |j| seconds(&j["expires_in"]))
                    .clamp(0, LONGEST_LIFE);
                (
                    200,
                    json!({ "token_type": "Bearer", "expires_in": life, "access_token": token }),
                )
            }
            // Not Entra's words, and no 4xx: asking again may help.
            None => (
                502,
                json!({ "error_codes": [], "error_description": "the token endpoint answered without a token" }),
            ),
        };
    }
    let said = json
        .as_ref()
        .and_then(|j| j["error_description"].as_str().or_else(|| j["error"].as_str()));
    let said = said.map_or_else(
        || format!("the token endpoint answered {status} without a reason"),
        plain,
    );
    let codes: Vec<i64> = json
        .as_ref()
        .and_then(|j| j["error_codes"].as_array())
        .map(|codes| {
            codes
                .iter()
                .filter_map(Value::as_i64)
                .filter(|c| i32::try_from(*c).is_ok())
                .collect()
        })
        .unwrap_or_default();
    (status, json!({ "error_codes": codes, "error_description": said }))
}

fn seconds(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Fit for people, and without anything that JSON would have to escape.
fn plain(text: &str) -> String {
    words(text, LONGEST_REASON).replace('"', "'").replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entras_errors_keep_their_words_without_escapes() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret.\r\nTrace ID: \"x\" C:\\y","error_codes":[7000215,99999999999]}"#;
        let (status, body) = readable(401, body);
        assert_eq!(status, 401);
        assert_eq!(
            body["error_description"],
            "AADSTS7000215: Invalid secret. Trace ID: 'x' C:/y"
        );
        assert_eq!(body["error_codes"], json!([7_000_215]));
        assert!(!body.to_string().contains('\\'));
    }

    #[test]
    fn an_answer_without_a_token_is_an_error_and_a_life_is_bounded() {
        for nonsense in [
            &b"{}"[..],
            b"<html>",
            b"",
            b"[]",
            br#"{"access_token":""}"#,
            br#"{"access_token":7}"#,
        ] {
            assert_eq!(readable(200, nonsense).0, 502);
        }
        let life = |text: &str| readable(200, text.as_bytes()).1["expires_in"].as_i64().unwrap();
        assert_eq!(life(r#"{"access_token":"t","expires_in":"3599"}"#), 3599);
        assert_eq!(
            life(r#"{"access_token":"t","expires_in":9223372036854775807}"#),
            LONGEST_LIFE
        );
        assert_eq!(life(r#"{"access_token":"t","expires_in":-5}"#), 0);
        assert_eq!(readable(503, b"<html>").0, 503);
    }
}
