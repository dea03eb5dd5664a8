//! What the services answer over HTTP. In: the world, the simulated time, where the stream arrived and by which leg, a
//! request head. Out: status, headers, body. Pure. The shapes are those of azure.md §5.3; where it leaves one open, the
//! choice is documented at the function.
//!
//! ```text
//! leg                     registry                    blob, dfs                       login /v2/       data endpoint
//! endpoint, or admitted   401 (200 with a token)      401, 404 or 409 without token   401, 200         404, 200
//! public, not admitted    see RegistryDenial          403 AuthorizationFailure        403 DENIED       403 DENIED
//! ```

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, SERVER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;

use super::faults::RegistryDenial;
use super::names::{self, Owned};
use super::routing::{Leg, Served};
use crate::json::{flag, guid, list, text};
use crate::targets::{self, TargetKind};
use crate::world::World;

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers of the service; `Date` and `Content-Length` are the server's to add.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl HttpAnswer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        HttpAnswer {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Adds a header; a value that no header can carry is left out.
    pub(super) fn with(mut self, name: impl TryInto<HeaderName>, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (name.try_into(), HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// A request as the services see it.
struct Request<'a> {
    head: &'a Parts,
    fqdn: String,
    /// The public address that is refused; `None` where the client comes in.
    refused: Option<String>,
    /// Changes with every request.
    id: String,
    now: Duration,
}

impl Request<'_> {
    fn has_token(&self) -> bool {
        self.head
            .headers
            .get(AUTHORIZATION)
            .is_some_and(|value| !value.is_empty())
    }
}

/// Answers a request that arrived at `served`. `now` is simulated time; `denial` plays U7.
pub fn answer_http(world: &World, now: Duration, served: &Served, head: &Parts, denial: RegistryDenial) -> HttpAnswer {
    let host = host_of(head);
    if !served.fqdns.contains(&host) {
        let page =
            "<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD><BODY><h2>Bad Request - Invalid Hostname</h2></BODY></HTML>";
        return HttpAnswer::new(StatusCode::BAD_REQUEST, "text/html; charset=us-ascii", page)
            .with(SERVER, "Microsoft-HTTPAPI/2.0");
    }
    let id = guid(&["request", &host, &head.uri.to_string(), &now.as_nanos().to_string()]);
    let mut request = Request {
        head,
        fqdn: host,
        refused: None,
        id,
        now,
    };
    let Some(owned) = names::owned(world, &request.fqdn) else {
        return registry(&request, denial);
    };
    request.refused = refused_address(world, now, &owned, &served.leg);
    let Some(target) = world.get(&owned.target) else {
        return registry(&request, denial);
    };
    match TargetKind::of(&target.kind) {
        Some(TargetKind::Storage) => storage(&request, flag(&target.body, "/properties/allowBlobPublicAccess")),
        Some(TargetKind::ContainerRegistry) if owned.name.member.starts_with("registry_data_") => {
            data_endpoint(&request)
        }
        Some(TargetKind::ContainerRegistry) => login_server(world, &request, &owned),
        Some(TargetKind::Registry) | None => registry(&request, denial),
    }
}

/// The host a request is for: the `Host` header or the absolute target, lower case, without port.
fn host_of(head: &Parts) -> String {
    let header = head.headers.get(HOST).and_then(|value| value.to_str().ok());
    let host = header.or_else(|| head.uri.host()).unwrap_or_default();
    host.split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

/// The client's public address, where the target does not let it in.
fn refused_address(world: &World, now: Duration, owned: &Owned, leg: &Leg) -> Option<String> {
    let Leg::Public {
        egress,
        virtual_network,
    } = leg
    else {
        return None;
    };
    let access = targets::access_of(world, &owned.target, now)?;
    let by_virtual_network = || {
        let rules = world.get(&owned.target).map_or(&[][..], |t| {
            list(&t.body, "/properties/networkAcls/virtualNetworkRules")
        });
        virtual_network.as_ref().is_some_and(|vnet| {
            rules.iter().any(|rule| {
                text(rule, "/id")
                    .to_ascii_lowercase()
                    .starts_with(&format!("{vnet}/subnets/"))
            })
        })
    };
    let admitted = access.admits(*egress) || (access.enabled && by_virtual_network());
    (!admitted).then(|| egress.to_string())
}

/// Blob and dfs. A network denial comes first (U18: which check is first is open).
fn storage(request: &Request<'_>, anonymous_allowed: bool) -> HttpAnswer {
    if request.refused.is_some() {
        let message = "This request is not authorized to perform this operation.";
        let body = storage_error(request, "AuthorizationFailure", message);
        return HttpAnswer::new(StatusCode::FORBIDDEN, "application/xml", body)
            .with(SERVER, "Microsoft-HTTPAPI/2.0")
            .with("x-ms-request-id", &request.id);
    }
    let version = request
        .head
        .headers
        .get("x-ms-version")
        .and_then(|value| value.to_str().ok());
    let answer = if request.has_token() {
        storage_content(request)
    } else if version.is_some_and(|version| is_version(version) && version >= "2019-12-12") {
        let message = "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.";
        storage_refusal(request, StatusCode::UNAUTHORIZED, "NoAuthenticationInformation", message).with(
            WWW_AUTHENTICATE,
            "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize resource_id=https://storage.azure.com",
        )
    } else if anonymous_allowed {
        let message = "The specified resource does not exist.";
        storage_refusal(request, StatusCode::NOT_FOUND, "ResourceNotFound", message)
    } else {
        let message = "Public access is not permitted on this storage account.";
        storage_refusal(request, StatusCode::CONFLICT, "PublicAccessNotPermitted", message)
    };
    answer
        .with(SERVER, "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
        .with("x-ms-request-id", &request.id)
        .with(
            "x-ms-version",
            version.filter(|v| is_version(v)).unwrap_or("2009-09-19"),
        )
}

/// With a token (whose rights are not judged here): an empty listing, or a blob whose content is its own path.
fn storage_content(request: &Request<'_>) -> HttpAnswer {
    let query = request.head.uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair == "comp=list") {
        let endpoint = &request.fqdn;
        // Without a container in the path it is containers that are listed.
        let name = request.head.uri.path().trim_matches('/');
        let (items, container) = match name.is_empty() {
            true => ("Containers", String::new()),
            false => (
                "Blobs",
                format!(" ContainerName=\"{}\"", name.replace(['&', '<', '>', '"'], "")),
            ),
        };
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://{endpoint}/\"{container}><{items} /><NextMarker /></EnumerationResults>"
        );
        return HttpAnswer::new(StatusCode::OK, "application/xml", body);
    }
    HttpAnswer::new(
        StatusCode::OK,
        "application/octet-stream",
        request.head.uri.path().to_owned(),
    )
}

fn storage_refusal(request: &Request<'_>, status: StatusCode, code: &str, message: &str) -> HttpAnswer {
    HttpAnswer::new(status, "application/xml", storage_error(request, code, message)).with("x-ms-error-code", code)
}

/// With the byte order mark that the service sends; a network denial is 246 bytes long (azure.md §5.3).
fn storage_error(request: &Request<'_>, code: &str, message: &str) -> String {
    let id = &request.id;
    let seconds = request.now.as_secs();
    let (minutes, second) = (seconds / 60, seconds % 60);
    let (hours, minute) = (minutes / 60, minutes % 60);
    let (day, hour) = (hours / 24 % 28 + 1, hours % 24);
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:{id}\nTime:2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.0000000Z</Message></Error>"
    )
}

/// `2019-12-12` and its like; anything else would compare as text and mean nothing.
fn is_version(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| {
            if i == 4 || i == 7 {
                *b == b'-'
            } else {
                b.is_ascii_digit()
            }
        })
}

/// A container registry's denial, the same on every path of login server and data endpoint.
fn denied(request: &Request<'_>, address: &str) -> HttpAnswer {
    let message =
        format!("client with IP '{address}' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.");
    let body = json!({"errors": [{"code": "DENIED", "message": message}]});
    container_registry_answer(request, StatusCode::FORBIDDEN, body.to_string())
}

fn container_registry_answer(request: &Request<'_>, status: StatusCode, body: String) -> HttpAnswer {
    HttpAnswer::new(status, "application/json; charset=utf-8", body)
        .with(SERVER, "AzureContainerRegistry")
        .with("docker-distribution-api-version", "registry/2.0")
        .with("x-content-type-options", "nosniff")
        .with("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with("x-ms-correlation-request-id", &request.id)
}

/// The login server: a challenge without a token; with one (not judged here) the API, and layers as 307 to the data
/// endpoint of the first region where those are on, else directly.
fn login_server(world: &World, request: &Request<'_>, owned: &Owned) -> HttpAnswer {
    if let Some(address) = &request.refused {
        return denied(request, address);
    }
    let path = request.head.uri.path();
    if !request.has_token() {
        let message = "authentication required, visit https://aka.ms/acr/authorization for more information.";
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": message, "detail": null}]});
        let fqdn = &request.fqdn;
        let challenge = format!("Bearer realm=\"https://{fqdn}/oauth2/token\",service=\"{fqdn}\"");
        return container_registry_answer(request, StatusCode::UNAUTHORIZED, body.to_string())
            .with(WWW_AUTHENTICATE, &challenge);
    }
    if path == "/v2/" || path == "/v2" {
        return container_registry_answer(request, StatusCode::OK, "{}".into());
    }
    let is_layer = path.starts_with("/v2/") && path.contains("/blobs/sha256:");
    let fetches = matches!(request.head.method, Method::GET | Method::HEAD);
    if !is_layer || !fetches {
        let body = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]});
        return container_registry_answer(request, StatusCode::NOT_FOUND, body.to_string());
    }
    let data = targets::fqdns_of(world, &owned.target)
        .into_iter()
        .find(|n| n.member.starts_with("registry_data_"));
    let enabled = world
        .get(&owned.target)
        .is_some_and(|t| flag(&t.body, "/properties/dataEndpointEnabled"));
    match data.filter(|_| enabled || names::private_link_enabled(world, owned)) {
        Some(data) => container_registry_answer(request, StatusCode::TEMPORARY_REDIRECT, String::new()).with(
            http::header::LOCATION,
            &format!("https://{}{path}?sig={}", data.fqdn, request.id),
        ),
        None => HttpAnswer::new(StatusCode::OK, "application/octet-stream", path.to_owned()),
    }
}

/// The data endpoint of a replica: only redirected pulls with their signature get something; everything else is 404
/// (no public source shows this answer; a denial is told apart by its `DENIED`).
fn data_endpoint(request: &Request<'_>) -> HttpAnswer {
    if let Some(address) = &request.refused {
        return denied(request, address);
    }
    let signed = request
        .head
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("sig=")));
    if signed {
        return HttpAnswer::new(
            StatusCode::OK,
            "application/octet-stream",
            request.head.uri.path().to_owned(),
        );
    }
    let body = json!({"errors": [{"code": "NOT_FOUND", "message": "404 page not found"}]});
    container_registry_answer(request, StatusCode::NOT_FOUND, body.to_string())
}

/// A registry, or one of the hosts around it that no resource owns (those are never denied).
fn registry(request: &Request<'_>, denial: RegistryDenial) -> HttpAnswer {
    let private_link = "The request is outside of the designated private link configuration of this registry.";
    let unauthenticated = || {
        registry_error(
            request,
            StatusCode::UNAUTHORIZED,
            "UserError",
            "Bearer token not provided.",
        )
    };
    let content = || registry_answer(request, StatusCode::OK, json!({"value": []}).to_string());
    match (request.refused.is_some(), denial, request.has_token()) {
        (true, RegistryDenial::Forbidden, _) => {
            registry_error(request, StatusCode::FORBIDDEN, "UserError", private_link)
        }
        (true, RegistryDenial::BadGateway, _) => {
            registry_error(request, StatusCode::BAD_GATEWAY, "UserError", private_link)
        }
        (true, RegistryDenial::Challenge, true) => {
            registry_error(request, StatusCode::UNAUTHORIZED, "UserError", private_link)
        }
        (true, RegistryDenial::Metadata, true) | (false, _, true) => content(),
        (true, RegistryDenial::Challenge | RegistryDenial::Metadata, false) | (false, _, false) => unauthenticated(),
    }
}

fn registry_error(request: &Request<'_>, status: StatusCode, code: &str, message: &str) -> HttpAnswer {
    let region = request
        .fqdn
        .split(".api.")
        .next()
        .and_then(|rest| rest.rsplit('.').next())
        .unwrap_or_default();
    let body = json!({
        "error": {
            "code": code, "severity": null, "message": message, "messageFormat": null, "messageParameters": null,
            "referenceCode": null, "detailsUri": null, "target": null, "details": [],
            "innerError": {"code": "ClientAuthenticationError", "innerError": null},
            "debugInfo": null, "additionalInfo": null
        },
        "correlation": {"operation": request.id.replace('-', ""), "request": &request.id[..request.id.len().min(16)]},
        "environment": region, "location": region, "componentName": "registrymanagement"
    });
    registry_answer(request, status, body.to_string()).with("x-ms-response-type", "error")
}

fn registry_answer(request: &Request<'_>, status: StatusCode, body: String) -> HttpAnswer {
    HttpAnswer::new(status, "application/json; charset=utf-8", body)
        .with("request-context", "appId=cid-v1:2d2e8e63-272e-4b3c-8598-4ee570a0e70d")
        .with("x-aml-cluster", "vienna-sim-01")
        .with("x-request-time", "0.012")
        .with(
            "strict-transport-security",
            "max-age=15724800; includeSubDomains; preload",
        )
        .with("x-ms-client-request-id", &request.id)
}
