//! The same over HTTPS with the simulator's own certificate authority.

use std::time::Duration;

use azure_sim::{FaultRule, ServeOptions, Simulator};
use serde_json::{Value, json};

use crate::azure::*;

async fn client(ca_pem: &str) -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap()])
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_signs_in_reads_and_polls() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions {
        state_dir: Some(folder.path().to_owned()),
        ..ServeOptions::default()
    };
    let running = Simulator::new(seed(|s| s.latencies = azure_sim::Latencies::Scaled(0.001)))
        .serve(options)
        .await
        .unwrap();
    let state: Value = serde_json::from_slice(&std::fs::read(folder.path().join("azure-sim.json")).unwrap()).unwrap();
    let ca = std::fs::read_to_string(state["caFile"].as_str().unwrap()).unwrap();
    assert_eq!(ca, running.ca_pem);
    let base = state["armEndpoint"].as_str().unwrap().to_owned();
    assert!(state["networks"]["hub"]["socks5"].is_string() && state["networks"]["office"]["curlProxy"].is_string());

    let client = client(&ca).await;
    let form = format!("grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&scope={base}/.default");
    let token: Value = client
        .post(format!("{base}/{TENANT}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let id = zone("privatelink.azurecr.io");
    let url = format!("{base}{id}?api-version={DNS}");
    let put = client
        .put(&url)
        .bearer_auth(&token)
        .json(&json!({"location": "global"}))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 202);
    let poll = put.headers()["location"].to_str().unwrap().to_owned();
    assert!(poll.starts_with(&base), "poll URLs lead back here: {poll}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let last = loop {
        let polled = client.get(&poll).bearer_auth(&token).send().await.unwrap();
        if polled.status() != 202 || tokio::time::Instant::now() > deadline {
            break polled;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(last.status(), 200);
    running.shutdown().await;
    assert!(
        client.get(&url).send().await.is_err(),
        "nothing listens after a shutdown"
    );
}

#[tokio::test]
async fn a_dropped_answer_is_a_broken_connection_and_others_go_on() {
    let running = Simulator::new(seed(|_| {}))
        .serve(ServeOptions::default())
        .await
        .unwrap();
    let rule = json!({"path": "/providers", "effect": {"dropBeforeEffect": {}}});
    running
        .simulator
        .inject(serde_json::from_value::<FaultRule>(rule).unwrap());
    let client = client(&running.ca_pem).await;
    let dropped = client
        .get(running.arm_endpoint.join("/providers/x?api-version=1").unwrap())
        .send()
        .await;
    assert!(dropped.is_err(), "{dropped:?}");
    let world = client
        .get(running.arm_endpoint.join("/_sim/clock").unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(world.status(), 200);
    running.shutdown().await;
}

#[tokio::test]
async fn only_loopback_is_served() {
    let options = ServeOptions {
        listen: "0.0.0.0:0".parse().unwrap(),
        state_dir: None,
    };
    let refused = Simulator::new(seed(|_| {})).serve(options).await;
    assert!(refused.unwrap_err().to_string().contains("loopback"));
}
