//! What an HTTP answer says about the path. Pure: a table per service over status, headers and body. With public access
//! disabled TCP and TLS still succeed and only HTTP denies, so this is where a denied network is told from a reached service.
//!
//! ```text
//! service        reached                                    denied (Failed)
//! registry       any answer below 500 that is not foreign   a body that speaks of its private link
//! blob, dfs      below 500 with x-ms-request-id and         403 AuthorizationFailure from Microsoft-HTTPAPI/2.0
//!                x-ms-version                               without x-ms-version
//! ACR            401 with a Bearer challenge for the host   403 DENIED that speaks of the client's IP or the firewall
//! ACR data       below 500 with headers of Azure's          the same
//! ```
//! 5xx and 429 are Unknown, and so is what fits no row. HTML or a redirect without any header of Azure's, or a demand for
//! proxy authentication, comes from a foreign service. Never is anything decided from a status code alone.

use http::HeaderMap;
use sreg_api::probe::ProbeService;

use crate::Stop;
use crate::exchange::ServiceAnswer;

/// The sentence for a reached service, or why it does not count.
pub(crate) fn judge(service: ProbeService, fqdn: &str, answer: &ServiceAnswer) -> Result<String, Stop> {
    let status = answer.status;
    if status >= 500 || status == 429 {
        return Err(Stop::unknown(format!(
            "{fqdn} answers {status}: nothing can be said about the network{}",
            code_of(answer)
        )));
    }
    if is_foreign(answer) {
        return Err(Stop::failed(format!(
            "a foreign service answers for {fqdn} ({status}{}): a proxy or portal stands in the way",
            server_of(&answer.headers)
        )));
    }
    match service {
        ProbeService::Registry => registry(fqdn, answer),
        ProbeService::Blob | ProbeService::Dfs => storage(fqdn, answer),
        ProbeService::ContainerRegistry => container_registry(fqdn, answer),
        ProbeService::ContainerRegistryData => container_registry_data(fqdn, answer),
    }
}

fn registry(fqdn: &str, answer: &ServiceAnswer) -> Result<String, Stop> {
    let body = answer.body.to_ascii_lowercase();
    // Seen in authenticated answers only; should an unauthenticated one say it too, it is no less true.
    if body.contains("usererror") && (body.contains("private link") || body.contains("privatelink")) {
        return Err(Stop::failed(format!(
            "{fqdn} denies this network by its private link ({}){}",
            answer.status,
            code_of(answer)
        )));
    }
    Ok(format!(
        "{fqdn} answers {}; without a token the registry does not tell a denied network from an admitted one",
        answer.status
    ))
}

fn storage(fqdn: &str, answer: &ServiceAnswer) -> Result<String, Stop> {
    let has_version = answer.headers.contains_key("x-ms-version");
    let by_firewall = names_code(answer, "AuthorizationFailure")
        && !has_version
        && header(&answer.headers, "server").contains("Microsoft-HTTPAPI");
    if answer.status == 403 && by_firewall {
        return Err(Stop::failed(format!(
            "{fqdn} denies this network: denied by the storage firewall (403 AuthorizationFailure)"
        )));
    }
    if answer.status == 403 && names_code(answer, "AuthorizationFailure") {
        return Err(Stop::unknown(format!(
            "{fqdn} answers 403 AuthorizationFailure, which may be its firewall or something else: nothing can be said"
        )));
    }
    if has_version && answer.headers.contains_key("x-ms-request-id") {
        return Ok(format!(
            "{fqdn} answers {} as storage does{}",
            answer.status,
            code_of(answer)
        ));
    }
    Err(unrecognised(fqdn, "storage", answer))
}

fn container_registry(fqdn: &str, answer: &ServiceAnswer) -> Result<String, Stop> {
    denied_by_container_registry(fqdn, answer)?;
    let challenge = header(&answer.headers, "www-authenticate");
    let of_this_host = challenge.to_ascii_lowercase().contains(&fqdn.to_ascii_lowercase());
    let is_bearer = challenge
        .get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    if answer.status == 401 && is_bearer && of_this_host {
        return Ok(format!("{fqdn} answers 401 with its own Bearer challenge"));
    }
    let speaks_registry = header(&answer.headers, "docker-distribution-api-version").starts_with("registry/2");
    if answer.status == 200 && speaks_registry {
        return Ok(format!(
            "{fqdn} answers 200 as a container registry with anonymous pull does"
        ));
    }
    if answer.status == 401 && is_bearer {
        return Err(Stop::failed(format!(
            "a foreign registry answers for {fqdn}: its challenge names another host ({})",
            short(challenge)
        )));
    }
    Err(unrecognised(fqdn, "a container registry", answer))
}

fn container_registry_data(fqdn: &str, answer: &ServiceAnswer) -> Result<String, Stop> {
    denied_by_container_registry(fqdn, answer)?;
    if is_azure(&answer.headers) {
        return Ok(format!(
            "{fqdn} answers {} as a data endpoint does{}",
            answer.status,
            code_of(answer)
        ));
    }
    Err(unrecognised(fqdn, "a data endpoint", answer))
}

/// The wording varies and some bodies carry a correlation id, so any of its marks beside the code is enough.
fn denied_by_container_registry(fqdn: &str, answer: &ServiceAnswer) -> Result<(), Stop> {
    let body = answer.body.to_ascii_lowercase();
    let of_network = ["client with ip", "is not allowed access", "aka.ms/acr/firewall"]
        .iter()
        .any(|mark| body.contains(mark));
    if answer.status == 403 && body.contains("denied") && of_network {
        return Err(Stop::failed(format!(
            "{fqdn} denies this network: 403 DENIED{}",
            quoted(&answer.body, "message")
        )));
    }
    Ok(())
}

fn unrecognised(fqdn: &str, what: &str, answer: &ServiceAnswer) -> Stop {
    Stop::unknown(format!(
        "{fqdn} answers {}{}{}, which is not how {what} answers or denies: nothing can be said",
        answer.status,
        server_of(&answer.headers),
        code_of(answer)
    ))
}

/// What stands between us and Azure: portals and proxies answer in HTML, redirect to themselves or want a log-in. An HTML page
/// of a Microsoft web server that does not know the host name counts as foreign too: it is not this service that answers.
fn is_foreign(answer: &ServiceAnswer) -> bool {
    let html = header(&answer.headers, "content-type")
        .to_ascii_lowercase()
        .contains("text/html");
    let elsewhere = (300..400).contains(&answer.status);
    let proxy = answer.status == 407 || answer.headers.contains_key("proxy-authenticate");
    proxy || ((html || elsewhere) && !has_azure_headers(&answer.headers))
}

/// Headers that Azure's services set and others do not.
fn has_azure_headers(headers: &HeaderMap) -> bool {
    headers.contains_key("docker-distribution-api-version")
        || headers
            .keys()
            .any(|name| name.as_str().starts_with("x-ms-") || name.as_str().starts_with("x-aml-"))
}

/// The same, or one of the server names of Azure's front ends.
fn is_azure(headers: &HeaderMap) -> bool {
    const SERVERS: [&str; 4] = [
        "Windows-Azure-",
        "Microsoft-HTTPAPI",
        "AzureContainerRegistry",
        "Microsoft-Azure",
    ];
    let server = header(headers, "server");
    has_azure_headers(headers) || SERVERS.iter().any(|mark| server.starts_with(mark))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn server_of(headers: &HeaderMap) -> String {
    let server = header(headers, "server");
    if server.is_empty() {
        String::new()
    } else {
        format!(", server {}", short(server))
    }
}

/// Azure's own error code: the header, else the body's `<Code>` or `"code"`.
fn error_code(answer: &ServiceAnswer) -> Option<&str> {
    let named = header(&answer.headers, "x-ms-error-code");
    if !named.is_empty() {
        return Some(named);
    }
    let between = |open: &str, close: char| {
        answer
            .body
            .split_once(open)
            .and_then(|(_, rest)| rest.split_once(close))
    };
    let xml = between("<Code>", '<').map(|(code, _)| code);
    let json = between("\"code\"", ',').and_then(|(rest, _)| rest.split('"').nth(1));
    xml.or(json)
        .map(str::trim)
        .filter(|code| !code.is_empty() && code.len() <= 64)
}

fn names_code(answer: &ServiceAnswer, code: &str) -> bool {
    error_code(answer).is_some_and(|named| named.eq_ignore_ascii_case(code))
}

fn code_of(answer: &ServiceAnswer) -> String {
    error_code(answer)
        .map(|code| format!(" ({})", short(code)))
        .unwrap_or_default()
}

/// `: '…'` with a JSON string of the body, for people.
fn quoted(body: &str, key: &str) -> String {
    let value = body
        .split_once(&format!("\"{key}\""))
        .and_then(|(_, rest)| rest.split('"').nth(1));
    value.map(|text| format!(": {}", short(text))).unwrap_or_default()
}

/// Foreign text: one line, no control characters, bounded.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}

#[cfg(test)]
#[path = "verdict/tests.rs"]
mod tests;
