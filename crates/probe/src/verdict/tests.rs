//! Answers as `azure.md` and the services' own documentation show them, and what each proves.

use http::{HeaderName, HeaderValue};
use sreg_api::probe::ProbeOutcome::{self, Failed, Succeeded, Unknown};

use super::*;

const ACR: &str = "crcontoso.azurecr.io";
const BLOB: &str = "stcontoso.blob.core.windows.net";
const REGISTRY: &str = "0b1c.registry.westeurope.api.azureml.ms";

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ServiceAnswer {
    let headers = headers
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    ServiceAnswer {
        status,
        headers,
        body: body.to_owned(),
    }
}

fn verdict(service: ProbeService, fqdn: &str, answer: &ServiceAnswer) -> (ProbeOutcome, String) {
    match judge(service, fqdn, answer) {
        Ok(message) => (Succeeded, message),
        Err(stop) => (stop.outcome, stop.message),
    }
}

const MS: [(&str, &str); 2] = [("x-ms-request-id", "8a1b"), ("x-ms-version", "2023-11-03")];
const XML_FAILURE: &str = "<?xml version=\"1.0\"?><Error><Code>AuthorizationFailure</Code><Message>This request is not authorized to perform this operation.</Message></Error>";
const CHALLENGE: (&str, &str) = (
    "www-authenticate",
    "Bearer realm=\"https://crcontoso.azurecr.io/oauth2/token\",service=\"crcontoso.azurecr.io\"",
);
const DENIED: &str = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"client with IP '20.1.2.3' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.\"}]}";

#[test]
fn storage_answers() {
    let cases = [
        (
            401,
            vec![MS[0], MS[1]],
            "<Error><Code>NoAuthenticationInformation</Code></Error>",
            Succeeded,
            "(NoAuthenticationInformation)",
        ),
        (
            404,
            vec![MS[0], MS[1], ("x-ms-error-code", "ResourceNotFound")],
            "",
            Succeeded,
            "404",
        ),
        (
            409,
            vec![MS[0], MS[1], ("x-ms-error-code", "PublicAccessNotPermitted")],
            "",
            Succeeded,
            "(PublicAccessNotPermitted)",
        ),
        (
            403,
            vec![MS[0], MS[1], ("x-ms-error-code", "AuthorizationPermissionMismatch")],
            "",
            Succeeded,
            "403",
        ),
        (
            403,
            vec![MS[0], ("server", "Microsoft-HTTPAPI/2.0")],
            XML_FAILURE,
            Failed,
            "denied by the storage firewall",
        ),
        (
            403,
            vec![
                MS[0],
                ("server", "Microsoft-HTTPAPI/2.0"),
                ("x-ms-error-code", "AuthorizationFailure"),
            ],
            "",
            Failed,
            "firewall",
        ),
        // The code alone decides nothing.
        (
            403,
            vec![MS[0], MS[1], ("server", "Windows-Azure-Blob/1.0")],
            XML_FAILURE,
            Unknown,
            "may be its firewall",
        ),
        (403, vec![MS[0]], XML_FAILURE, Unknown, "may be its firewall"),
        (
            403,
            vec![("server", "Microsoft-HTTPAPI/2.0")],
            "",
            Unknown,
            "not how storage answers",
        ),
        (401, vec![MS[0]], "", Unknown, "not how storage answers"),
        (
            200,
            vec![("content-type", "application/json")],
            "{}",
            Unknown,
            "not how storage answers",
        ),
        (
            503,
            vec![MS[0], MS[1], ("x-ms-error-code", "ServerBusy")],
            "",
            Unknown,
            "answers 503",
        ),
        (429, vec![MS[0], MS[1]], "", Unknown, "answers 429"),
        (
            200,
            vec![("content-type", "text/html; charset=utf-8")],
            "<html>log in</html>",
            Failed,
            "a foreign service answers",
        ),
    ];
    for (status, headers, body, outcome, says) in cases {
        for service in [ProbeService::Blob, ProbeService::Dfs] {
            let (got, message) = verdict(service, BLOB, &answer(status, &headers, body));
            assert_eq!(got, outcome, "{status} {headers:?} {body}: {message}");
            assert!(message.contains(says), "`{message}` should say `{says}`");
        }
    }
}

#[test]
fn container_registry_answers() {
    let cases = [
        (
            401,
            vec![CHALLENGE],
            "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}",
            Succeeded,
            "its own Bearer challenge",
        ),
        (
            200,
            vec![("docker-distribution-api-version", "registry/2.0")],
            "",
            Succeeded,
            "anonymous pull",
        ),
        (
            403,
            vec![("content-type", "application/json")],
            DENIED,
            Failed,
            "client with IP '20.1.2.3'",
        ),
        (
            403,
            vec![],
            "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"Access to registry denied. aka.ms/acr/firewall. CorrelationId: 1\"}]}",
            Failed,
            "denies this network",
        ),
        (
            403,
            vec![],
            "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested access to the resource is denied\"}]}",
            Unknown,
            "not how a container registry",
        ),
        (
            401,
            vec![("www-authenticate", "Bearer realm=\"https://mirror.example/token\"")],
            "",
            Failed,
            "names another host",
        ),
        (
            401,
            vec![("www-authenticate", "Basic realm=\"crcontoso.azurecr.io\"")],
            "",
            Unknown,
            "not how a container registry",
        ),
        (401, vec![], "", Unknown, "not how a container registry"),
        (
            404,
            vec![("content-type", "text/html")],
            "<html>",
            Failed,
            "a foreign service",
        ),
        (
            302,
            vec![("location", "https://portal.example/")],
            "",
            Failed,
            "a foreign service",
        ),
        (
            407,
            vec![("proxy-authenticate", "Negotiate")],
            "",
            Failed,
            "a foreign service",
        ),
        (
            502,
            vec![("content-type", "text/html")],
            "<html>",
            Unknown,
            "answers 502",
        ),
        (429, vec![], "", Unknown, "answers 429"),
    ];
    for (status, headers, body, outcome, says) in cases {
        let (got, message) = verdict(ProbeService::ContainerRegistry, ACR, &answer(status, &headers, body));
        assert_eq!(got, outcome, "{status} {headers:?} {body}: {message}");
        assert!(message.contains(says), "`{message}` should say `{says}`");
    }
}

#[test]
fn data_endpoint_answers() {
    let fqdn = "crcontoso.westeurope.data.azurecr.io";
    let cases = [
        (404, vec![("server", "AzureContainerRegistry")], "", Succeeded),
        (400, vec![("x-ms-correlation-request-id", "1")], "", Succeeded),
        (403, vec![("server", "AzureContainerRegistry")], DENIED, Failed),
        (404, vec![("content-type", "text/html")], "<html>", Failed),
        (404, vec![("server", "nginx")], "", Unknown),
        (500, vec![("server", "AzureContainerRegistry")], "", Unknown),
    ];
    for (status, headers, body, outcome) in cases {
        let (got, message) = verdict(
            ProbeService::ContainerRegistryData,
            fqdn,
            &answer(status, &headers, body),
        );
        assert_eq!(got, outcome, "{status} {headers:?}: {message}");
    }
}

#[test]
fn registry_answers_count_but_say_how_little_they_prove() {
    for status in [200, 400, 401, 403, 404] {
        let (got, message) = verdict(
            ProbeService::Registry,
            REGISTRY,
            &answer(status, &[("x-ms-request-id", "1")], "{}"),
        );
        assert_eq!(got, Succeeded, "{status}");
        assert!(message.contains("does not tell a denied network"), "{message}");
    }
    let no_such_host = answer(
        400,
        &[
            ("content-type", "text/html; charset=us-ascii"),
            ("server", "Microsoft-HTTPAPI/2.0"),
        ],
        "<h2>Bad Request - Invalid Hostname</h2>",
    );
    assert_eq!(verdict(ProbeService::Registry, REGISTRY, &no_such_host).0, Failed);
    let outside =
        "{\"error\":{\"code\":\"UserError\",\"message\":\"Access is outside of the designated private link\"}}";
    assert_eq!(
        verdict(
            ProbeService::Registry,
            REGISTRY,
            &answer(401, &[("x-ms-request-id", "1")], outside)
        )
        .0,
        Failed
    );
    assert_eq!(
        verdict(ProbeService::Registry, REGISTRY, &answer(502, &[], outside)).0,
        Unknown
    );
    assert_eq!(
        verdict(
            ProbeService::Registry,
            REGISTRY,
            &answer(200, &[("content-type", "text/html")], "")
        )
        .0,
        Failed
    );
}

#[test]
fn foreign_text_is_bounded_and_stays_on_one_line() {
    let body = format!(
        "{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"client with IP\u{7}\n{}\"}}]}}",
        "x".repeat(5000)
    );
    let (_, message) = verdict(ProbeService::ContainerRegistry, ACR, &answer(403, &[], &body));
    assert!(
        message.len() < 300 && !message.contains('\n') && !message.contains('\u{7}'),
        "{message}"
    );
}

#[test]
fn no_cut_of_a_body_panics() {
    for service in [
        ProbeService::Registry,
        ProbeService::Blob,
        ProbeService::ContainerRegistry,
        ProbeService::ContainerRegistryData,
    ] {
        for body in [DENIED, XML_FAILURE, "\"code\"", "\"code\",", "<Code>", "é\"code\":\"ü"] {
            for end in (0..=body.len()).filter(|&end| body.is_char_boundary(end)) {
                let cut = answer(403, &[("www-authenticate", "Bear")], &body[..end]);
                assert!(!verdict(service, ACR, &cut).1.is_empty());
            }
        }
    }
}
