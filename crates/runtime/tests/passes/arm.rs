//! The simulated Azure as the operator's own client sees it: no sockets, and a gate that everything passes.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode};
use azure_sim::journal::Entry;
use azure_sim::{ConnectionDropped, Simulator};
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;
use sreg_azure::{AzureClient, AzureSettings, CredentialKind, connect_through};
use sreg_domain::BuiltInCloud;

use super::campaign::gate::{Call, Gate, Passage, Side};
use super::campaign::witness::{Wishes, Witness};

/// The real client, signed in as the demo's operator.
pub fn azure_client(sim: &Simulator, gate: Gate) -> AzureClient {
    let secret = SecretString::from("demo-secret-of-no-worth");
    let cloud = Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap());
    let mut settings = AzureSettings::new(cloud, sim.tenant(), CredentialKind::ClientSecret(secret));
    settings.client_id = Some("0c000000-0000-4000-8000-000000000001".into());
    connect_through(settings, Arc::new(InProcess(sim.clone(), gate))).unwrap()
}

/// The simulator behind azure_core's transport.
#[derive(Debug)]
struct InProcess(Simulator, Gate);

#[async_trait]
impl HttpClient for InProcess {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let InProcess(sim, gate) = self;
        let mut sent = http::Request::builder()
            .method(request.method().as_str())
            .uri(request.url().as_str());
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(_) => panic!("no streams are sent"),
        };
        let passage = gate.enter(call_of(request)).await;
        let is_write = is_arm(request) && request.method() != azure_core::http::Method::Get;
        if let Some(code) = passage.refused() {
            return Ok(raw(&refusal(code)));
        }
        if passage.ignored() {
            return Ok(raw(&accepted_in_vain(sim, sent.body(body).unwrap()).await));
        }
        let url = request.url().as_str();
        if !is_write && let Some(past) = gate.stale_answer(url) {
            return Ok(raw(&past));
        }
        let sees_sent =
            |witness: &Witness| witness.sees_sent(request.method().as_str(), &decoded(request.url().path()));
        let wished = gate.witness().filter(|_| is_write).map(sees_sent);
        let held = passage.held_until();
        let carried = carry_out(sim.clone(), gate.clone(), sent.body(body).unwrap(), passage, wished);
        let (answer, lost) = match held {
            // What is on its way arrives, even if nobody waits for the answer any more.
            Some(until) => tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                carried.await
            })
            .await
            .unwrap(),
            None => carried.await,
        };
        if lost || answer.extensions().get::<ConnectionDropped>().is_some() {
            return Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Io,
                "connection closed",
            ));
        }
        if !is_write {
            gate.keep_answer(url, &answer);
        }
        Ok(raw(&answer))
    }
}

/// The answer, and whether it is lost.
async fn carry_out(
    sim: Simulator,
    gate: Gate,
    sent: http::Request<Bytes>,
    passage: Passage,
    wished: Option<Wishes>,
) -> (http::Response<Bytes>, bool) {
    let is_write = sent.uri().path().starts_with("/subscriptions/") && sent.method() != http::Method::GET;
    if let Some((witness, wished)) = gate.witness().zip(wished) {
        witness.sees(sent.method().as_str(), &decoded(sent.uri().path()), sent.body(), wished);
    }
    let before = sim.journal().last();
    let answer = sim.handle(sent).await;
    let lost = gate.leave(passage, is_write && changed_since(&sim, before)).await;
    (answer, lost)
}

fn raw(answer: &http::Response<Bytes>) -> AsyncRawResponse {
    let mut headers = Headers::new();
    for (name, value) in answer.headers() {
        headers.insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
    }
    AsyncRawResponse::from_bytes(
        StatusCode::from(answer.status().as_u16()),
        headers,
        answer.body().clone(),
    )
}

/// 200 and the resource as it was; as it was to be, where there is none. Nothing is carried out.
async fn accepted_in_vain(sim: &Simulator, sent: http::Request<Bytes>) -> http::Response<Bytes> {
    let (mut parts, body) = sent.into_parts();
    let answer = |body: Bytes| {
        let answer = http::Response::builder().header("content-type", "application/json");
        answer.body(body).unwrap()
    };
    if parts.method == http::Method::DELETE {
        return answer(Bytes::new());
    }
    parts.method = http::Method::GET;
    let there = sim.handle(http::Request::from_parts(parts, Bytes::new())).await;
    let unchanged = there.status().is_success().then(|| there.into_body());
    answer(unchanged.unwrap_or(body))
}

/// What a plan lets Azure answer instead of carrying the request out.
fn refusal(code: u16) -> http::Response<Bytes> {
    let name = match code {
        404 => "ResourceNotFound",
        409 => "AnotherOperationInProgress",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        _ => "ServiceUnavailable",
    };
    let body = json!({"error": {"code": name, "message": "Refused by the test."}}).to_string();
    let answer = http::Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .header("retry-after", "3");
    answer.body(Bytes::from(body)).unwrap()
}

/// Whether Azure took a request for more than a question.
fn changed_since(sim: &Simulator, before: u64) -> bool {
    sim.records_since(before).iter().any(|record| match &record.entry {
        Entry::Request(request) => request.operation.is_some() || !request.changed.is_empty(),
        _ => true,
    })
}

/// What a request is called in plans: type and name below the provider.
fn call_of(request: &Request) -> Call {
    if !is_arm(request) {
        return Call::new(Side::Azure, "GET", "token");
    }
    let path = request.url().path();
    let below = path.rsplit_once("/providers/").map_or(path, |(_, below)| below);
    let name = below.split_once('/').map_or(below, |(_, name)| name);
    Call::new(Side::Azure, request.method().as_str(), name)
}

/// The path as names are spelled: letters of other alphabets travel as `%xx`.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        plain.push(u8::from_str_radix(code, 16).unwrap());
        plain.extend(rest.as_bytes());
    }
    String::from_utf8(plain).unwrap()
}

/// Not the token endpoint, whose every request is a POST.
fn is_arm(request: &Request) -> bool {
    request.url().path().starts_with("/subscriptions/")
}
