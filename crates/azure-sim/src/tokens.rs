//! Entra's token endpoint: client credentials by secret or by assertion, access tokens that ARM knows again. A token is a
//! JWT to look at, but opaque to check: it counts because it was given out here. Secrets and tokens reach no log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::arm::answer::{ArmError, JsonResponse};
use crate::clock::Clock;
use crate::control::Control;
use crate::json::{digest, guid, text};
use crate::permissions::Principal;

/// Tokens given out, by themselves.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    grants: HashMap<String, Grant>,
    lifetime_seconds: u64,
    given: u64,
}

#[derive(Debug, Clone)]
struct Grant {
    object_id: String,
    audience: String,
    expires: Duration,
}

/// Tokens remembered at most; beyond that expired ones are forgotten.
const REMEMBERED: usize = 4096;

impl Tokens {
    pub(crate) fn new(lifetime_seconds: u64) -> Tokens {
        Tokens {
            grants: HashMap::new(),
            lifetime_seconds,
            given: 0,
        }
    }

    fn give(&mut self, principal: &Principal, tenant: &str, audience: &str, clock: &Clock) -> String {
        self.given += 1;
        let now = clock.token_time();
        let expires = now + Duration::from_secs(self.lifetime_seconds);
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant,
            "oid": principal.object_id, "sub": principal.object_id, "appid": principal.client_id, "idtyp": "app",
            "iat": clock.token_epoch(now), "nbf": clock.token_epoch(now), "exp": clock.token_epoch(expires),
            "uti": self.given.to_string(), "ver": "1.0",
        });
        let signed = format!(
            "{}.{}",
            part(json!({ "typ": "JWT", "alg": "RS256", "kid": "azure-sim" })),
            part(claims)
        );
        let seal = digest(&["token", &uuid::Uuid::new_v4().to_string()]);
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(seal));
        if self.grants.len() >= REMEMBERED {
            self.grants.retain(|_, grant| grant.expires > now);
        }
        let grant = Grant {
            object_id: principal.object_id.clone(),
            audience: audience.to_owned(),
            expires,
        };
        self.grants.insert(token.clone(), grant);
        token
    }
}

/// Who sent this token, and for whom it was made. The errors are ARM's.
pub(crate) fn check(control: &Control, token: &str, clock: &Clock) -> Result<(Arc<Principal>, String), ArmError> {
    let invalid = || ArmError::new(401, "InvalidAuthenticationToken", "The access token is invalid.");
    let grant = control.tokens.grants.get(token).ok_or_else(invalid)?;
    if grant.expires <= clock.token_time() {
        let said = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            clock.at(grant.expires),
            clock.at(clock.token_time())
        );
        return Err(ArmError::new(401, "ExpiredAuthenticationToken", said));
    }
    let found = control.principal_at(&grant.object_id, clock.now());
    let principal = found.ok_or_else(invalid)?;
    Ok((principal, grant.audience.clone()))
}

/// Whether an audience is a place on this machine, as clients that were only told where the simulator listens ask for.
pub(crate) fn is_loopback(audience: &str) -> bool {
    let host = url::Url::parse(audience)
        .ok()
        .and_then(|u| u.host_str().map(str::to_owned))
        .unwrap_or_default();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// The bearer token in an `Authorization` header.
pub(crate) fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Answers `POST /{tenant}/oauth2/v2.0/token`; the second value is the object id of who signed in.
pub(crate) fn serve(control: &mut Control, tenant: &str, form: &[u8], clock: &Clock) -> (JsonResponse, Option<String>) {
    match grant(control, tenant, form, clock) {
        Ok((answer, object_id)) => (answer, Some(object_id)),
        Err(refusal) => (refusal, None),
    }
}

fn grant(
    control: &mut Control,
    tenant: &str,
    form: &[u8],
    clock: &Clock,
) -> Result<(JsonResponse, String), JsonResponse> {
    let fields: HashMap<String, String> = url::form_urlencoded::parse(form).into_owned().collect();
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if !tenant.eq_ignore_ascii_case(&control.tenant) {
        let said =
            format!("AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
        return Err(refusal(400, "invalid_request", 90002, &said, clock));
    }
    if field("grant_type") != "client_credentials" {
        let said = "AADSTS70003: The app requested an unsupported grant type.";
        return Err(refusal(400, "unsupported_grant_type", 70003, said, clock));
    }
    let client = field("client_id");
    let found = control
        .principals
        .iter()
        .find(|p| p.client_id.eq_ignore_ascii_case(client))
        .cloned();
    let Some(principal) = found else {
        let said =
            format!("AADSTS700016: Application with identifier '{client}' was not found in the directory '{tenant}'.");
        return Err(refusal(400, "unauthorized_client", 700016, &said, clock));
    };
    match (field("client_secret"), field("client_assertion")) {
        ("", "") => {
            let said = "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            return Err(refusal(401, "invalid_client", 7000218, said, clock));
        }
        ("", assertion) => check_assertion(&principal, assertion, clock)?,
        (secret, _) if principal.client_secret.as_deref() == Some(secret) => {}
        (_, _) => {
            let said = format!(
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, for a secret added to app '{client}'."
            );
            return Err(refusal(401, "invalid_client", 7000215, &said, clock));
        }
    }
    let Some(audience) = field("scope").strip_suffix("/.default").filter(|a| !a.is_empty()) else {
        let said = format!(
            "AADSTS1002012: The provided value for scope {} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.",
            field("scope")
        );
        return Err(refusal(400, "invalid_scope", 1002012, &said, clock));
    };
    let tenant = control.tenant.clone();
    let token = control.tokens.give(&principal, &tenant, audience, clock);
    let lifetime = control.tokens.lifetime_seconds;
    let body =
        json!({ "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token });
    let answer = JsonResponse::new(200, body)
        .with("cache-control", "no-store, no-cache")
        .with("pragma", "no-cache");
    Ok((answer, principal.object_id.clone()))
}

/// Looks at an assertion's claims. Its signature is not checked: there is no issuer to ask.
fn check_assertion(principal: &Principal, assertion: &str, clock: &Clock) -> Result<(), JsonResponse> {
    let malformed = || {
        let said = "AADSTS50027: JWT token is invalid or malformed.";
        refusal(400, "invalid_request", 50027, said, clock)
    };
    let claims = assertion
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let claims: Value = claims
        .and_then(|c| serde_json::from_slice(&c).ok())
        .ok_or_else(malformed)?;
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or_else(malformed)?;
    if assertion.split('.').count() != 3 {
        return Err(malformed());
    }
    if expires < clock.caller_epoch() {
        let said = "AADSTS700024: Client assertion is not within its valid time range.";
        return Err(refusal(401, "invalid_client", 700024, said, clock));
    }
    let (issuer, subject) = (text(&claims, "/iss"), text(&claims, "/sub"));
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let by_subject = principal.federated.iter().filter(|f| f.subject == subject);
    let known: Vec<_> = by_subject
        .filter(|f| f.issuer.as_deref().is_none_or(|i| i == issuer))
        .collect();
    if known.is_empty() && principal.federated.iter().any(|f| f.subject == subject) {
        let said = format!(
            "AADSTS700211: No matching federated identity record found for presented assertion issuer '{issuer}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
        );
        return Err(refusal(401, "invalid_client", 700211, &said, clock));
    }
    if known.is_empty() {
        let said = format!(
            "AADSTS700213: No matching federated identity record found for presented assertion subject '{subject}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
        );
        return Err(refusal(401, "invalid_client", 700213, &said, clock));
    }
    if !known.iter().any(|f| audiences.contains(&f.audience.as_str())) {
        let said = format!(
            "AADSTS700212: No matching federated identity record found for presented assertion audience '{}'.",
            audiences.join(", ")
        );
        return Err(refusal(401, "invalid_client", 700212, &said, clock));
    }
    Ok(())
}

/// An error as Entra words it: the description ends in escapes, which some clients trip over.
fn refusal(status: u16, error: &str, code: u32, description: &str, clock: &Clock) -> JsonResponse {
    let trace = guid(&["trace", description, &clock.now().as_nanos().to_string()]);
    let said = format!(
        "{description} Trace ID: {trace} Correlation ID: {trace} Timestamp: {}\r\n",
        clock.timestamp().strftime("%Y-%m-%d %H:%M:%SZ")
    );
    let body = json!({
        "error": error, "error_description": said, "error_codes": [code], "trace_id": trace, "correlation_id": trace,
        "timestamp": clock.timestamp().strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    JsonResponse::new(status, body)
}

/// The OpenID configuration of the tenant at this base.
pub(crate) fn openid_configuration(tenant: &str, base: &str) -> JsonResponse {
    JsonResponse::new(
        200,
        json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"], "cloud_instance_name": "azure-sim",
        }),
    )
}
