//! The token endpoint and discovery.

use std::time::Duration;

use azure_sim::seed::FederatedCredential;
use azure_sim::world::DiscoveryHosts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::azure::*;

async fn ask(azure: &Azure, tenant: &str, form: &str) -> Reply {
    azure
        .send("POST", &format!("/{tenant}/oauth2/v2.0/token"), &[], form.as_bytes())
        .await
}

fn form(more: &str) -> String {
    format!(
        "grant_type=client_credentials&client_id={CLIENT}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default&{more}"
    )
}

fn assertion(issuer: &str, subject: &str, audience: Value, expires_in: i64) -> String {
    let exp = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
        + expires_in;
    let part = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let claims = json!({"iss": issuer, "sub": subject, "aud": audience, "exp": exp});
    format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims))
}

#[tokio::test(start_paused = true)]
async fn a_secret_gets_a_token_whose_claims_say_who_and_for_whom() {
    let azure = Azure::new().await;
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(azure.token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(claims["oid"], OPERATOR);
    assert_eq!(claims["tid"], TENANT);
    assert_eq!(claims["appid"], CLIENT);
    assert_eq!(claims["aud"], "https://management.azure.com");
    assert_eq!(azure.sim.token_holder(&azure.token).unwrap().0, OPERATOR);
}

#[tokio::test(start_paused = true)]
async fn bad_sign_ins_get_the_codes_of_entra() {
    let azure = Azure::new().await;
    let secret = format!("client_secret={SECRET}");
    for (tenant, form, status, code) in [
        ("other", form(&secret), 400, 90002),
        (TENANT, form("client_secret=wrong"), 401, 7000215),
        (TENANT, form(""), 401, 7000218),
        (TENANT, form(&secret).replace(CLIENT, "nobody"), 400, 700016),
        (
            TENANT,
            form(&secret).replace("client_credentials", "password"),
            400,
            70003,
        ),
        (TENANT, form(&secret).replace("%2F.default", ""), 400, 1002012),
        (TENANT, form("client_assertion=nonsense"), 400, 50027),
        (TENANT, form("client_assertion=a.b.c"), 400, 50027),
    ] {
        let reply = ask(&azure, tenant, &form).await;
        assert_eq!(
            (reply.status, reply.body["error_codes"][0].clone()),
            (status, json!(code)),
            "{}",
            reply.body
        );
        assert!(reply.text("/error_description").starts_with(&format!("AADSTS{code}")));
        assert!(
            reply.text("/error_description").ends_with("\r\n"),
            "an escape that some clients trip over"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_assertion_has_to_match_issuer_subject_audience_and_time() {
    let azure = Azure::with(|seed| {
        seed.principals[0].federated = vec![FederatedCredential {
            issuer: Some("https://issuer".into()),
            subject: "system:serviceaccount:a:b".into(),
            audience: "api://AzureADTokenExchange".into(),
        }];
    })
    .await;
    let exchange = json!(["api://AzureADTokenExchange"]);
    let subject = "system:serviceaccount:a:b";
    for (assertion, code) in [
        (assertion("https://issuer", subject, exchange.clone(), 600), 0),
        (
            assertion("https://issuer", subject, json!("api://AzureADTokenExchange"), 600),
            0,
        ),
        (assertion("https://issuer", subject, exchange.clone(), -60), 700024),
        (assertion("https://other", subject, exchange.clone(), 600), 700211),
        (
            assertion("https://issuer", "system:serviceaccount:a:c", exchange, 600),
            700213,
        ),
        (assertion("https://issuer", subject, json!(["kubernetes"]), 600), 700212),
    ] {
        let kind = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let reply = ask(&azure, TENANT, &form(&format!("{kind}&client_assertion={assertion}"))).await;
        match code {
            0 => assert_eq!(reply.status, 200, "{}", reply.body),
            code => assert_eq!(reply.body["error_codes"][0], json!(code), "{}", reply.body),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_expire_and_arm_says_so() {
    let azure = Azure::with(|seed| seed.token_lifetime_seconds = 60).await;
    assert_eq!(azure.get(&azure.registry(), REGISTRY).await.status, 200);
    azure.sim.advance(Duration::from_secs(61));
    let refused = azure.get(&azure.registry(), REGISTRY).await;
    assert_eq!((refused.status, refused.code()), (401, "ExpiredAuthenticationToken"));
}

#[tokio::test(start_paused = true)]
async fn a_token_for_another_audience_does_not_open_arm() {
    let mut azure = Azure::new().await;
    let reply = ask(
        &azure,
        TENANT,
        &form(&format!("client_secret={SECRET}")).replace("management.azure.com", "ml.azure.com"),
    )
    .await;
    azure.token = reply.text("/access_token").to_owned();
    let refused = azure.get(&azure.registry(), REGISTRY).await;
    assert_eq!(
        (refused.status, refused.code()),
        (401, "InvalidAuthenticationTokenAudience")
    );
}

async fn discover(azure: &Azure, name: &str) -> Reply {
    let bearer = format!("Bearer {}", azure.token);
    let path = format!("/registrymanagement/v1.0/registries/{name}/discovery");
    azure.send("GET", &path, &[("authorization", &bearer)], b"").await
}

#[tokio::test(start_paused = true)]
async fn discovery_names_the_hosts_of_each_region() {
    let azure = Azure::with(|seed| seed.registries[0].additional_locations = vec!["northeurope".into()]).await;
    let found = discover(&azure, "ContosoReg").await;
    assert_eq!(found.status, 200);
    let uri = found.text("/registryFqdns/northeurope/uri");
    assert!(uri.ends_with(".registry.northeurope.api.azureml.ms"), "{uri}");
    assert_eq!(
        found.text("/primaryRegionResourceProviderUri"),
        format!("{}/", found.text("/registryFqdns/westeurope/uri")),
        "Azure ends it in a slash"
    );
    azure.sim.set_switches(|s| s.discovery_hosts = DiscoveryHosts::Others);
    let others = discover(&azure, "contosoreg").await;
    assert_eq!(
        others.text("/primaryRegionResourceProviderUri"),
        "https://cert-westeurope.experiments.azureml.net/"
    );
}

#[tokio::test(start_paused = true)]
async fn discovery_says_403_for_no_access_and_for_no_registry_alike() {
    let mut azure = Azure::with(|seed| seed.principals[1].roles = vec![]).await;
    assert_eq!(discover(&azure, "nothing").await.status, 403);
    azure.token = azure
        .sign_in("0c000000-0000-4000-8000-000000000002", "scientist-secret-of-no-worth")
        .await;
    let refused = discover(&azure, "contosoreg").await;
    assert_eq!((refused.status, refused.code()), (403, "UserError"));
    let bare = azure
        .send(
            "GET",
            "/registrymanagement/v1.0/registries/contosoreg/discovery",
            &[],
            b"",
        )
        .await;
    assert_eq!(bare.status, 401);
}

#[tokio::test(start_paused = true)]
async fn neither_secrets_nor_tokens_reach_the_journal() {
    let azure = Azure::new().await;
    azure.get(&azure.registry(), REGISTRY).await;
    let text = serde_json::to_string(&azure.sim.records_since(0)).unwrap();
    assert!(text.contains("oauth2"));
    assert!(!text.contains(SECRET) && !text.contains(&azure.token));
}
