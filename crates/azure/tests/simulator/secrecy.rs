//! Over real HTTPS with a private CA: it works, and at TRACE level nothing secret is said.
#![allow(clippy::unwrap_used, clippy::panic)]

mod simulated;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_sim::ServeOptions;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use simulated::{CLIENT, REGISTRY, SECRET, TENANT, cloud, demo, desired, id};
use sreg_azure::{AzureReader, AzureSettings, AzureWriter, CredentialKind, Patience, connect};
use sreg_domain::action::Edit;
use sreg_domain::cloud::HttpsUrl;
use sreg_domain::{AzureAction, Cloud, Known, StepKind, TargetKind};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn over_https_with_a_private_ca_nothing_secret_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let running = demo().serve(ServeOptions::default()).await.unwrap();

    let secret = CredentialKind::ClientSecret(SECRET.to_owned().into());
    let simulated = HttpsUrl::try_from(running.arm_endpoint.clone()).unwrap();
    let mut cloud = Cloud::clone(&cloud());
    cloud.resource_manager.endpoint = simulated.clone();
    cloud.authority_host = simulated.clone();
    cloud.machine_learning.discovery_endpoint = Some(simulated);
    let mut settings = AzureSettings::new(Arc::new(cloud), TENANT, secret);
    settings.client_id = Some(CLIENT.to_owned());
    settings.ca_pem = Some(running.ca_pem.clone().into_bytes());
    let client = connect(settings.clone()).unwrap();
    let azure = client
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(30)),
        )
        .await;
    let registry = azure
        .registry()
        .seen()
        .unwrap_or_else(|| panic!("{:?}", azure.registry()));
    assert!(azure.discovery.seen().is_some(), "{:?}", azure.discovery);
    let close = AzureAction::Edit {
        target: TargetKind::Registry,
        id: id(REGISTRY),
        edit: Edit::Close,
        expected: registry.digest.clone(),
    };
    client
        .carry_out("ml", &StepKind::Close.into(), &close, Duration::from_secs(30))
        .await
        .unwrap();

    // Federated, with the newline that a file ends with; another assertion is refused, and that is logged too.
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let claims = r#"{"iss":"https://issuer","sub":"system:serviceaccount:secure-registry-system:secure-registry-operator","aud":["api://AzureADTokenExchange"],"exp":4000000000}"#;
    let assertion = format!("{}.{}.assertion-of-no-worth", part(r#"{"alg":"RS256"}"#), part(claims));
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, format!("{assertion}\n")).unwrap();
    let mut federated = settings.clone();
    federated.credential = CredentialKind::WorkloadIdentity {
        token_file: token_file.clone(),
    };
    let client = connect(federated.clone()).unwrap();
    let azure = client
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(30)),
        )
        .await;
    assert!(azure.registry().seen().is_some(), "{:?}", azure.registry());
    std::fs::write(&token_file, "assertion-of-no-worth").unwrap();
    let refused = connect(federated)
        .unwrap()
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(30)),
        )
        .await;
    let why = refused.registry().ignorance().unwrap();
    assert_eq!(why.code.as_deref(), Some("AADSTS50027"), "{why:?}");

    // A server that this CA did not sign for is not talked to.
    let mut untrusting = settings.clone();
    untrusting.ca_pem = Some(
        azure_sim::CertificateAuthority::new()
            .unwrap()
            .pem()
            .to_owned()
            .into_bytes(),
    );
    let stranger = connect(untrusting)
        .unwrap()
        .observe(
            &desired(),
            &Known::default(),
            Patience::ordinary(Duration::from_secs(30)),
        )
        .await;
    assert!(stranger.registry().ignorance().is_some());
    running.shutdown().await;

    let said = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        said.contains("ARM answered") && said.contains("TRACE"),
        "the log was captured"
    );
    let debug = format!("{settings:?} {client:?}");
    for text in [&said, &debug] {
        for secret in [SECRET, "assertion-of-no-worth", "eyJ", "Bearer ey"] {
            let at = text.find(secret);
            let around = at.map(|at| text.get(at.saturating_sub(200)..at).unwrap_or_default().to_owned());
            assert_eq!(around, None, "{secret:.4}… was logged");
        }
    }
}
