//! Tables for what the services answer, without sockets.

use http::request::Parts;
use http::{Request, StatusCode};
use serde_json::json;

use super::*;
use crate::data_plane::{HttpAnswer, Leg, RegistryDenial, Served, answer_http};
use crate::world::Key;

const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

fn head(host: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn public(fqdn: &str) -> Served {
    let leg = Leg::Public {
        egress: CLIENT,
        virtual_network: None,
    };
    Served {
        fqdns: vec![fqdn.into()],
        target: None,
        leg,
    }
}

fn private(fqdn: &str) -> Served {
    Served {
        fqdns: vec![fqdn.into()],
        target: None,
        leg: Leg::Endpoint { id: Key::new() },
    }
}

fn get(world: &World, served: &Served, path: &str, headers: &[(&str, &str)]) -> HttpAnswer {
    let head = head(&served.fqdns[0], path, headers);
    answer_http(
        world,
        Duration::from_secs(100),
        served,
        &head,
        RegistryDenial::Forbidden,
    )
}

fn closed() -> World {
    let mut world = private_world();
    for target in [STORAGE, ACR, REGISTRY] {
        change(&mut world, target, "/properties/publicNetworkAccess", json!("Disabled"));
    }
    world
}

fn header<'a>(answer: &'a HttpAnswer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn a_denied_blob_request_looks_like_the_real_one() {
    let answer = get(
        &closed(),
        &public(BLOB),
        "/?comp=list",
        &[("x-ms-version", "2021-08-06"), ("authorization", "Bearer t")],
    );
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.body.len(), 246);
    assert!(String::from_utf8_lossy(&answer.body).contains("<Code>AuthorizationFailure</Code>"));
    assert_eq!(header(&answer, "server"), Some("Microsoft-HTTPAPI/2.0"));
    assert_eq!(header(&answer, "x-ms-version"), None);
    assert!(header(&answer, "x-ms-request-id").is_some());
}

#[test]
fn an_anonymous_blob_request_is_answered_by_its_version() {
    let world = closed();
    for (headers, status, code) in [
        (
            &[("x-ms-version", "2019-12-12")][..],
            401,
            "NoAuthenticationInformation",
        ),
        (&[("x-ms-version", "2021-08-06")], 401, "NoAuthenticationInformation"),
        (&[("x-ms-version", "2018-03-28")], 409, "PublicAccessNotPermitted"),
        (&[("x-ms-version", "zzzz-zz-zz")], 409, "PublicAccessNotPermitted"),
        (&[], 409, "PublicAccessNotPermitted"),
    ] {
        let answer = get(&world, &private(BLOB), "/", headers);
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(header(&answer, "x-ms-error-code"), Some(code), "{headers:?}");
        assert_eq!(
            header(&answer, "server"),
            Some("Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
        );
        assert!(header(&answer, "x-ms-version").is_some());
    }
    let mut world = world;
    change(&mut world, STORAGE, "/properties/allowBlobPublicAccess", json!(true));
    assert_eq!(get(&world, &private(BLOB), "/", &[]).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_container_registry_challenges_whom_it_lets_in_and_denies_the_rest() {
    let world = closed();
    let answer = get(&world, &private(LOGIN), "/v2/", &[]);
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenge = header(&answer, "www-authenticate").unwrap();
    assert_eq!(
        challenge,
        r#"Bearer realm="https://contosoacr.azurecr.io/oauth2/token",service="contosoacr.azurecr.io""#
    );
    assert_eq!(header(&answer, "docker-distribution-api-version"), Some("registry/2.0"));
    for (fqdn, path) in [(LOGIN, "/v2/"), (LOGIN, "/oauth2/exchange"), (DATA, "/")] {
        let answer = get(&world, &public(fqdn), path, &[("authorization", "Bearer t")]);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fqdn}{path}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["errors"][0]["code"], "DENIED");
        let message = body["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("client with IP '203.0.113.77' is not allowed access."),
            "{message}"
        );
    }
    assert_eq!(get(&world, &private(DATA), "/", &[]).status, StatusCode::NOT_FOUND);
}

#[test]
fn layers_redirect_to_the_data_endpoint_once_there_is_a_private_endpoint() {
    let path = "/v2/env/blobs/sha256:00";
    let token = [("authorization", "Bearer t")];
    assert_eq!(
        get(&public_world(), &public(LOGIN), path, &token).status,
        StatusCode::OK
    );
    let answer = get(&private_world(), &public(LOGIN), path, &token);
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    let location = header(&answer, "location").unwrap();
    let rest = location
        .strip_prefix(&format!("https://{DATA}"))
        .unwrap_or_else(|| panic!("{location}"));
    assert_eq!(get(&private_world(), &public(DATA), rest, &[]).status, StatusCode::OK);
}

#[test]
fn a_registry_denies_in_each_of_the_ways_that_are_unsettled() {
    let world = closed();
    let fqdn = registry_fqdn(&world);
    let token = [("authorization", "Bearer t")];
    for (denial, anonymous, authenticated) in [
        (RegistryDenial::Forbidden, 403, 403),
        (RegistryDenial::Challenge, 401, 401),
        (RegistryDenial::BadGateway, 502, 502),
        (RegistryDenial::Metadata, 401, 200),
    ] {
        for (headers, expected) in [(&[][..], anonymous), (&token[..], authenticated)] {
            let answer = answer_http(
                &world,
                Duration::ZERO,
                &public(&fqdn),
                &head(&fqdn, "/", headers),
                denial,
            );
            assert_eq!(answer.status.as_u16(), expected, "{denial:?} {headers:?}");
            let says_private_link = String::from_utf8_lossy(&answer.body).contains("private link");
            let denied = expected != 200 && (expected != 401 || !headers.is_empty());
            assert_eq!(says_private_link, denied, "{denial:?} {headers:?}");
        }
    }
    assert_eq!(get(&world, &private(&fqdn), "/", &[]).status, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&world, &private(&fqdn), "/", &token).status, StatusCode::OK);
}

#[test]
fn rules_let_in_whom_they_name_while_access_is_enabled() {
    let mut world = private_world();
    change(
        &mut world,
        STORAGE,
        "/properties/networkAcls/defaultAction",
        json!("Deny"),
    );
    let status = |world: &World| {
        get(world, &public(BLOB), "/", &[("x-ms-version", "2021-08-06")])
            .status
            .as_u16()
    };
    assert_eq!(status(&world), 403);
    world.resources.get_mut(&key(STORAGE)).unwrap().body["properties"]["networkAcls"]["ipRules"] =
        json!([{"value": "203.0.113.0/24", "action": "Allow"}]);
    assert_eq!(status(&world), 401);
    change(
        &mut world,
        STORAGE,
        "/properties/publicNetworkAccess",
        json!("Disabled"),
    );
    assert_eq!(status(&world), 403);
}

#[test]
fn a_virtual_network_rule_lets_in_streams_from_that_vnet() {
    let mut world = private_world();
    change(
        &mut world,
        STORAGE,
        "/properties/networkAcls/defaultAction",
        json!("Deny"),
    );
    world.resources.get_mut(&key(STORAGE)).unwrap().body["properties"]["networkAcls"]["virtualNetworkRules"] =
        json!([{"id": subnet_id("spoke"), "action": "Allow"}]);
    for (vnet, status) in [("spoke", 401), ("hub", 403)] {
        let leg = Leg::Public {
            egress: CLIENT,
            virtual_network: Some(key(&vnet_id(vnet))),
        };
        let served = Served {
            fqdns: vec![BLOB.into()],
            target: None,
            leg,
        };
        assert_eq!(
            get(&world, &served, "/", &[("x-ms-version", "2021-08-06")])
                .status
                .as_u16(),
            status,
            "{vnet}"
        );
    }
}

#[test]
fn a_change_of_public_access_takes_effect_after_its_delay() {
    let mut world = closed();
    world.switches.access_effect_seconds = 60;
    let mut before = world.get(STORAGE).unwrap().body.clone();
    before["properties"]["publicNetworkAccess"] = json!("Enabled");
    world
        .earlier_bodies
        .insert(key(STORAGE), vec![(Duration::from_secs(100), before)]);
    for (now, status) in [(101, 401), (159, 401), (160, 403)] {
        let head = head(BLOB, "/", &[("x-ms-version", "2021-08-06")]);
        let answer = answer_http(
            &world,
            Duration::from_secs(now),
            &public(BLOB),
            &head,
            RegistryDenial::Forbidden,
        );
        assert_eq!(answer.status.as_u16(), status, "at {now} s");
    }
}

#[test]
fn a_host_that_is_not_served_at_the_address_is_a_bad_request() {
    let world = private_world();
    for host in ["contosost.privatelink.blob.core.windows.net", LOGIN, ""] {
        let answer = answer_http(
            &world,
            Duration::ZERO,
            &private(BLOB),
            &head(host, "/", &[]),
            RegistryDenial::Forbidden,
        );
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{host}");
    }
    let answer = answer_http(
        &world,
        Duration::ZERO,
        &private(LOGIN),
        &head("ContosoACR.azurecr.io:443", "/v2/", &[]),
        RegistryDenial::Forbidden,
    );
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
