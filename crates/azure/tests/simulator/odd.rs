//! Answers that no Azure gives: nothing of them is taken for knowledge, and no token goes astray.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode};
use jiff::Timestamp;
use sreg_azure::{AzureReader, Patience, connect_through};
use sreg_domain::action::Operation;
use sreg_domain::seen::{IgnoranceKind, OperationState};
use sreg_domain::{AzureAction, Effect, EndpointGroup, Known, StepKind};
use tokio::time::Instant;

use crate::simulated::*;
use crate::steps::*;

/// Answers everything with the same bytes, or never; remembers where it was asked.
#[derive(Debug)]
struct Odd {
    status: u16,
    body: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    hosts: Mutex<Vec<String>>,
    calls: AtomicUsize,
}

impl Odd {
    fn new(status: u16, body: Option<&'static str>) -> Arc<Odd> {
        Arc::new(Odd {
            status,
            body,
            headers: vec![],
            hosts: Mutex::default(),
            calls: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl HttpClient for Odd {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.hosts
            .lock()
            .unwrap()
            .push(request.url().host_str().unwrap_or_default().to_owned());
        self.calls.fetch_add(1, Ordering::SeqCst);
        if request.url().path().ends_with("/token") {
            let token = r#"{"access_token":"opaque","expires_in":3600}"#;
            return Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), token));
        }
        let Some(body) = self.body else {
            return std::future::pending().await;
        };
        let mut headers = Headers::new();
        self.headers
            .iter()
            .for_each(|(name, value)| headers.insert(*name, *value));
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(self.status),
            headers,
            body,
        ))
    }
}

#[tokio::test]
async fn no_answer_however_odd_is_taken_for_knowledge() {
    for (status, body) in [
        (200, ""),
        (200, "null"),
        (200, "[]"),
        (200, "{}"),
        (200, "7"),
        (200, "\u{0}\u{1}"),
        (200, r#"{"value":{}}"#),
        (
            200,
            r#"{"properties":[],"location":{},"tags":[],"id":7,"value":null,"nextLink":5}"#,
        ),
        (204, ""),
        (206, "{"),
        (301, "<html>"),
        (404, "<html>nginx</html>"),
        (404, ""),
        (418, "teapot"),
        (599, "{}"),
    ] {
        let client = connect_through(settings(), Odd::new(status, Some(body))).unwrap();
        let known = known(&["https://management.azure.com/op"]);
        let azure = client
            .observe(&desired(), &known, Patience::ordinary(Duration::from_secs(30)))
            .await;
        let told = [
            azure.registry().ignorance().is_some(),
            azure.principal.ignorance().is_some(),
            azure.zones_elsewhere.ignorance().is_some(),
            azure.endpoints.values().all(|e| e.ignorance().is_some()) && !azure.endpoints.is_empty(),
            azure.virtual_networks.values().all(|n| n.ignorance().is_some()),
        ];
        assert_eq!(told, [true; 5], "{status} {body:?} {azure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_azure_ends_the_visit_at_its_deadline() {
    let client = connect_through(settings(), Odd::new(200, None)).unwrap();
    let start = Instant::now();
    let azure = client
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(45)),
        )
        .await;
    assert!(start.elapsed() <= Duration::from_secs(46), "{:?}", start.elapsed());
    assert_eq!(kind(azure.registry()), IgnoranceKind::Unreachable);
    assert!(azure.subnets.values().all(|s| s.ignorance().is_some()));
}

fn known(poll_urls: &[&str]) -> Known {
    let operation = |poll_url: &&str| Operation {
        step: StepKind::Tag.into(),
        resource: id(REGISTRY),
        poll_url: (*poll_url).into(),
        started_at: Timestamp::now(),
    };
    Known {
        operations: poll_urls.iter().map(operation).collect(),
        ..Known::default()
    }
}

#[tokio::test]
async fn our_token_is_sent_to_no_other_host() {
    let transport = Odd::new(200, Some(r#"{"value":[],"nextLink":"https://evil.example/next"}"#));
    let client = connect_through(settings(), transport.clone()).unwrap();
    let urls = [
        "https://evil.example/op",
        "http://management.azure.com/op",
        "https://management.azure.com:8443/op",
        "https://management.azure.com.evil.example/op",
        "https://user:pass@management.azure.com/op",
        "//evil.example/op",
        "file:///etc/passwd",
        "",
        "nonsense",
    ];
    let known = known(&urls);
    let azure = client
        .observe(&desired(), &known, Patience::ordinary(Duration::from_secs(30)))
        .await;
    assert!(
        azure.operations.iter().all(|o| o.state == OperationState::Lost),
        "{:?}",
        azure.operations
    );
    assert_eq!(
        kind(&azure.zones_elsewhere),
        IgnoranceKind::Nonsense,
        "a foreign next link"
    );
    let hosts = transport.hosts.lock().unwrap().clone();
    assert!(
        hosts
            .iter()
            .all(|h| h == "management.azure.com" || h == "login.microsoftonline.com"),
        "{hosts:?}"
    );
}

#[tokio::test]
async fn a_list_that_never_ends_is_nonsense() {
    let endless = r#"{"value":[],"nextLink":"https://management.azure.com/subscriptions/x?again"}"#;
    let transport = Odd::new(200, Some(endless));
    let client = connect_through(settings(), transport.clone()).unwrap();
    let azure = client
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(30)),
        )
        .await;
    assert_eq!(kind(&azure.zones_elsewhere), IgnoranceKind::Nonsense);
    assert!(transport.calls.load(Ordering::SeqCst) < 100);
}

#[tokio::test]
async fn a_name_that_would_lead_to_another_resource_is_not_asked_for() {
    let group = id(&format!("{PLATFORM}/resourceGroups/dns"));
    for name in [
        "",
        "..",
        "z/../../privateEndpoints/theirs",
        "z?api-version=1",
        "z#",
        "z%2f..",
        "%2e%2e",
        "a\tb",
    ] {
        let odd = Odd::new(200, Some("{}"));
        let client = connect_through(settings(), odd.clone()).unwrap();
        let create = AzureAction::CreateZone {
            id: group.provider("Microsoft.Network/privateDnsZones", name),
            tags: Default::default(),
            owner: OWNER.into(),
        };
        let refused =
            sreg_azure::AzureWriter::carry_out(&client, "ml", &StepKind::Tag.into(), &create, Duration::from_secs(5))
                .await;
        let failure = refused.unwrap_err();
        assert!(failure.message.starts_with("not sent: "), "{name:?}: {failure:?}");
        assert_eq!(odd.calls.load(Ordering::SeqCst), 0, "{name:?}");
    }
}

#[tokio::test]
async fn a_write_answered_with_a_foreign_poll_url_is_polled_by_its_resource() {
    let bench = Bench::new();
    // The zone does not exist, so its PUT is accepted by the odd server too, which points elsewhere.
    let odd = Arc::new(Odd {
        status: 202,
        body: Some(""),
        headers: vec![
            ("azure-asyncoperation", "https://evil.example/op"),
            ("location", "https://evil.example/result"),
        ],
        hosts: Mutex::default(),
        calls: AtomicUsize::new(0),
    });
    let client = connect_through(settings(), odd.clone()).unwrap();
    let create = AzureAction::CreateZone {
        id: zone(EndpointGroup::Blob),
        tags: Default::default(),
        owner: OWNER.into(),
    };
    let effect =
        sreg_azure::AzureWriter::carry_out(&client, "ml", &StepKind::Tag.into(), &create, Duration::from_secs(5)).await;
    let Ok(Effect::Started(operation)) = effect else {
        panic!("{effect:?}")
    };
    assert!(
        operation
            .poll_url
            .starts_with("https://management.azure.com/subscriptions/"),
        "{}",
        operation.poll_url
    );
    drop(bench);
}
