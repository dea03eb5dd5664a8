//! Azure Resource Manager: from an HTTP request to an answer. Order as in Azure: token, api-version, buckets, permission,
//! subscription and resource group, then the provider. No I/O.

mod accounts;
pub(crate) mod answer;
pub(crate) mod call;
pub(crate) mod connections;
mod container_registries;
mod directory;
pub(crate) mod endpoint_addresses;
mod filter;
mod firewall;
pub(crate) mod locks;
mod metadata;
pub(crate) mod networks;
mod paging;
pub(crate) mod path;
mod peerings;
pub(crate) mod policies;
mod prefixes;
pub(crate) mod private_dns;
pub(crate) mod private_endpoints;
pub(crate) mod record_sets;
pub(crate) mod registries;
pub(crate) mod registry_accounts;
pub(crate) mod rendering;
pub(crate) mod roles;
pub(crate) mod scopes;
mod storage;
pub(crate) mod tags;
mod validation;
pub(crate) mod versions;
pub(crate) mod zone_groups;

use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::control::Control;
use crate::journal::Actor;
use crate::operations::{Last, OperationStatus};
use crate::permissions::{Principal, allowed};
use crate::throttle::{CallType, Pass};
use crate::world::World;
use answer::{ArmError, JsonResponse};
use call::Call;
use path::ArmPath;

/// One request to ARM.
pub(crate) struct ArmRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) base: &'a str,
    pub(crate) operation_fault: Option<Value>,
}

/// Answers a request; the second value is the object id of who asked.
pub(crate) fn serve(
    world: &mut World,
    control: &mut Control,
    clock: &Clock,
    request: ArmRequest<'_>,
) -> (JsonResponse, Option<String>) {
    if metadata::is_asked(request.path) {
        let version = parameter(request.query, "api-version");
        let answer = metadata::serve(request.method, version, request.base);
        return (answer.unwrap_or_else(|refusal| refusal.answer()), None);
    }
    let principal = match authenticate(control, clock, request.headers, request.base) {
        Ok(principal) => principal,
        Err(refusal) => {
            let challenge = format!(
                "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{}\"",
                request.base, control.tenant, refusal.code
            );
            return (refusal.answer().with("www-authenticate", challenge), None);
        }
    };
    let object_id = principal.object_id.clone();
    world.actor = Actor::Principal(object_id.clone());
    let answer = answer(world, control, clock, request, principal);
    world.actor = Actor::Service;
    (answer.unwrap_or_else(|refusal| refusal.answer()), Some(object_id))
}

/// The first value of a query parameter, whatever the case of its name.
fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.as_str())
}

fn authenticate(control: &Control, clock: &Clock, headers: &HeaderMap, base: &str) -> Result<Arc<Principal>, ArmError> {
    let Some(token) = crate::tokens::bearer(headers) else {
        let said = "Authentication failed. The 'Authorization' header is missing or does not hold a bearer token.";
        return Err(ArmError::new(401, "AuthenticationFailed", said));
    };
    let (principal, audience) = crate::tokens::check(control, token, clock)?;
    let known = [
        "https://management.azure.com",
        "https://management.core.windows.net",
        base,
    ];
    match known.contains(&audience.trim_end_matches('/')) || crate::tokens::is_loopback(&audience) {
        true => Ok(principal),
        false => Err(ArmError::new(
            401,
            "InvalidAuthenticationTokenAudience",
            format!("The access token has been obtained for wrong audience or resource '{audience}'."),
        )),
    }
}

fn answer(
    world: &mut World,
    control: &mut Control,
    clock: &Clock,
    request: ArmRequest<'_>,
    principal: Arc<Principal>,
) -> Result<JsonResponse, ArmError> {
    let version = parameter(request.query, "api-version");
    let path = ArmPath::parse(request.path).ok_or_else(|| nowhere(request.path))?;
    let polled = poll_id(&path);
    let kind = path.kind();
    if polled.is_some() || is_provider(&path) {
        versions::required(version)?;
    } else if kind.is_empty() {
        path.subscription.as_deref().map_or(Ok(()), check_subscription)?;
        return Err(nowhere(request.path));
    } else {
        versions::check(check_kind(&kind), version, world.switches.newest_api_versions)?;
    }
    let left = throttle(control, clock, &request, &path, &principal)?;
    let mut call = Call {
        now: clock.now(),
        world,
        control,
        clock,
        principal,
        method: request.method.clone(),
        path: &path,
        api_version: version.unwrap_or("").to_owned(),
        query: request.query,
        headers: request.headers,
        base: request.base,
        sent: std::borrow::Cow::Borrowed(request.body),
        operation_fault: request.operation_fault,
    };
    let answer = match polled {
        Some((id, results)) => poll(&call, &id, results),
        None => permitted(&mut call, &kind),
    };
    let asked = paging::Asked {
        base: request.base,
        path: request.path,
        query: request.query,
        kind: &kind,
    };
    let size = call.world.switches.page_size;
    let answer = match *request.method == Method::GET && path.is_collection() {
        true => answer.and_then(|answer| paging::page(answer, &asked, size)),
        false => answer,
    };
    let answer = answer.map(|answer| registries::as_of_version(answer, &kind, version.unwrap_or("")));
    let call_type = CallType::of(request.method);
    answer.or_else(|refusal| Ok(refusal.answer())).map(|answer| {
        answer
            .with(call_type.header(), left.to_string())
            .with(call_type.global_header(), left.saturating_mul(15).to_string())
    })
}

/// Actions have no entry in the table of versions: they go by their resource.
const ACTIONS: &[&str] = &["/removeregions", "/listkeys", "/listusages"];

fn check_kind(kind: &str) -> &str {
    ACTIONS
        .iter()
        .find_map(|action| kind.strip_suffix(action))
        .unwrap_or(kind)
}

/// Whether a path names a provider itself, or its registration.
fn is_provider(path: &ArmPath) -> bool {
    let registers = |types: &[String]| types.len() == 1 && types.iter().all(|t| t.eq_ignore_ascii_case("register"));
    path.namespace.is_some() && path.names.is_empty() && (path.types.is_empty() || registers(&path.types))
}

/// Refuses what is no subscription's id, such as the word after one that was left out.
fn check_subscription(subscription: &str) -> Result<(), ArmError> {
    if uuid::Uuid::parse_str(subscription).is_ok() {
        return Ok(());
    }
    let said = format!("The provided subscription identifier '{subscription}' is malformed or invalid.");
    Err(ArmError::new(400, "InvalidSubscriptionId", said))
}

/// What ARM answers itself below a subscription or a resource group, and the simulator does not.
const UNMODELLED_WORDS: &[&str] = &["exporttemplate", "moveresources", "tagnames", "validatemoveresources"];

/// 404 for a path that leads nowhere, as ARM words it.
fn nowhere(path: &str) -> ArmError {
    let lower = path.to_ascii_lowercase();
    let known = |word: &&&str| lower.split('/').skip(3).any(|segment| segment == **word);
    if let Some(word) = UNMODELLED_WORDS.iter().find(known) {
        return ArmError::not_modelled(&format!("'{word}'"));
    }
    if lower.starts_with("/subscriptions/") {
        let said = format!("The requested path '{path}' was not found.");
        return ArmError::new(404, "NotFound", said);
    }
    let said = "The request did not have a subscription or a valid tenant level resource provider.";
    ArmError::new(404, "MissingSubscription", said)
}

fn throttle(
    control: &mut Control,
    clock: &Clock,
    request: &ArmRequest<'_>,
    path: &ArmPath,
    principal: &Principal,
) -> Result<u32, ArmError> {
    let subscription = path.subscription.as_deref().unwrap_or("tenant");
    let call_type = CallType::of(request.method);
    let dns = path.kind().starts_with("microsoft.network/privatednszones") && call_type == CallType::Reads;
    let rules = control.throttling;
    let mut take = |t| {
        control
            .buckets
            .take(&rules, subscription, &principal.object_id, t, clock.now())
    };
    let special = if dns {
        take(CallType::PrivateDnsReads)
    } else {
        Pass::Yes(u32::MAX)
    };
    let (wait, code) = match (special, take(call_type)) {
        (Pass::Yes(_), Pass::Yes(left)) => return Ok(left),
        (Pass::No(wait), _) => (wait, "TooManyRequests"),
        (Pass::Yes(_), Pass::No(wait)) => (wait, "SubscriptionRequestsThrottled"),
    };
    let seconds = clock
        .real(std::time::Duration::from_secs_f64(wait.max(0.0)))
        .as_secs_f64()
        .ceil()
        .max(1.0) as u64;
    let said = format!(
        "Number of '{}' requests for subscription '{subscription}' and principal '{}' exceeded. Please try again after '{seconds}' seconds.",
        request.method, principal.object_id
    );
    Err(ArmError::new(429, code, said).retry_after(seconds))
}

/// The operation that a path polls; `true` for the `Location` form.
fn poll_id(path: &ArmPath) -> Option<(String, bool)> {
    let (front, id) = path.text.rsplit_once('/')?;
    let what = front.rsplit('/').next()?;
    match what.to_ascii_lowercase().as_str() {
        "operationstatuses" | "operations" | "privatednsoperationstatuses" => Some((id.to_owned(), false)),
        "operationresults" | "privatednsoperationresults" => Some((id.to_owned(), true)),
        _ => None,
    }
}

fn poll(call: &Call<'_>, id: &str, results: bool) -> Result<JsonResponse, ArmError> {
    let missing = || ArmError::new(404, "OperationNotFound", format!("The operation '{id}' was not found."));
    let operation = call.control.operations.get(id).ok_or_else(missing)?;
    // Whoever started it polls it; others need the right to read what it works on.
    if operation.started_by != call.principal.object_id {
        let action = format!("{}/read", versions::spelled(&path::kind_of(&operation.resource)));
        call.require(&action, &operation.resource)?;
    }
    let patience = call.patience().to_string();
    if !results {
        let mut body = operation.status_body(call.clock, call.now);
        body["id"] = json!(call.path.text);
        let answer = JsonResponse::new(200, body);
        let running = operation.standing == OperationStatus::Running;
        return Ok(if running {
            answer.with("retry-after", patience)
        } else {
            answer
        });
    }
    match &operation.standing {
        OperationStatus::Running => {
            let url = format!("{}{}?api-version={}", call.base, call.path.text, call.api_version);
            Ok(JsonResponse::empty(202)
                .with("location", url)
                .with("retry-after", patience))
        }
        OperationStatus::Failed(error) => Ok(JsonResponse::new(400, json!({ "error": error }))),
        OperationStatus::Succeeded => match &operation.last {
            Last::NoContent => Ok(JsonResponse::empty(204)),
            Last::Resource(resource) => Ok(match call.world.get(resource) {
                Some(resource) => JsonResponse::new(200, rendering::render(call.world, resource)),
                None => JsonResponse::empty(204),
            }),
        },
    }
}

/// Checks the permission, then what the path stands on, then asks the provider.
fn permitted(call: &mut Call<'_>, kind: &str) -> Result<JsonResponse, ArmError> {
    let subscription = call.path.subscription.clone();
    if let Some(subscription) = &subscription
        && call.world.get(&format!("/subscriptions/{subscription}")).is_none()
    {
        check_subscription(subscription)?;
        let said = format!("The subscription '{subscription}' could not be found.");
        return Err(ArmError::new(404, "SubscriptionNotFound", said));
    }
    let unrestricted = call.path.subscription.is_none() && call.path.is_collection()
        || (call.method == Method::GET
            && (is_provider(call.path) || scopes::asks_no_right(kind, call.path.is_collection())));
    let shortened = call.world.switches.short_lists
        && call.method == Method::GET
        && call.path.is_collection()
        && call.path.subscription.is_some();
    let action = action_of(call, kind);
    if !(unrestricted || shortened) {
        call.require(&action, &call.path.text)?;
    }
    if let Some(group) = call.path.group.clone()
        && kind != "microsoft.resources/resourcegroups"
    {
        let id = format!(
            "/subscriptions/{}/resourceGroups/{group}",
            subscription.as_deref().unwrap_or("")
        );
        if call.world.get(&id).is_none() {
            return match call.method {
                Method::DELETE => Ok(JsonResponse::empty(204)),
                _ => Err(scopes::group_missing(&group)),
            };
        }
    }
    validation::check(call, kind)?;
    check_registration(call)?;
    policies::modify(call)?;
    policies::check(call)?;
    locks::check(call, kind)?;
    let mut answer = dispatch(call, kind)?;
    if shortened && !unrestricted {
        keep_what_may_be_read(call, &action, &mut answer);
    }
    Ok(answer)
}

/// Leaves in a list what a role of the caller's lets it read (U35).
fn keep_what_may_be_read(call: &Call<'_>, action: &str, answer: &mut JsonResponse) {
    let items = answer.body.as_mut().and_then(|body| body.get_mut("value"));
    if let Some(items) = items.and_then(Value::as_array_mut) {
        items.retain(|item| allowed(call.world, &call.principal, action, crate::json::text(item, "/id")));
    }
}

/// The action that a verb on this type needs.
fn action_of(call: &Call<'_>, kind: &str) -> String {
    let spelled = match kind {
        "microsoft.resources/resourcegroups" => "Microsoft.Resources/subscriptions/resourceGroups".to_owned(),
        "microsoft.resources/resources" => "Microsoft.Resources/subscriptions/resources".to_owned(),
        "microsoft.resources/locations" => "Microsoft.Resources/subscriptions/locations".to_owned(),
        other => versions::spelled(check_kind(other)),
    };
    let verb = match call.method {
        Method::GET | Method::HEAD => "read",
        Method::DELETE => "delete",
        Method::POST if kind.ends_with("/listkeys") => "listKeys/action",
        Method::POST if kind.ends_with("/listusages") => "listUsages/read",
        Method::POST if kind.ends_with("/checknameavailability") => "read",
        Method::POST if is_provider(call.path) => {
            return format!("{}/register/action", call.path.namespace.as_deref().unwrap_or(""));
        }
        _ => "write",
    };
    format!("{spelled}/{verb}")
}

fn check_registration(call: &Call<'_>) -> Result<(), ArmError> {
    let (Some(subscription), Some(namespace)) = (&call.path.subscription, &call.path.namespace) else {
        return Ok(());
    };
    let missing = call
        .control
        .unregistered
        .get(&subscription.to_ascii_lowercase())
        .is_some_and(|u| u.contains(&namespace.to_ascii_lowercase()));
    if !missing || call.method == Method::GET {
        return Ok(());
    }
    let said = format!(
        "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
    );
    Err(ArmError::new(409, "MissingSubscriptionRegistration", said))
}

fn dispatch(call: &mut Call<'_>, kind: &str) -> Result<JsonResponse, ArmError> {
    if call.method == Method::HEAD && !call.path.is_collection() {
        return Ok(JsonResponse::empty(if call.world.get(&call.path.text).is_some() {
            204
        } else {
            404
        }));
    }
    match kind {
        _ if is_provider(call.path) => directory::serve_provider(call),
        "microsoft.resources/tenants" => directory::serve_tenants(call),
        "microsoft.resources/subscriptions" => directory::serve_subscriptions(call),
        "microsoft.resources/locations" => directory::serve_locations(call),
        "microsoft.resources/providers" => directory::serve_providers(call),
        "microsoft.resources/resources" => directory::serve_resources(call),
        "microsoft.resources/resourcegroups" => scopes::serve_group(call),
        "microsoft.resources/tags" => tags::serve(call),
        "microsoft.machinelearningservices/registries" => registries::serve(call),
        "microsoft.machinelearningservices/registries/removeregions" => match call.method {
            Method::POST => registries::remove_regions(call),
            _ => Err(call.no_such_method()),
        },
        "microsoft.network/privateendpoints" => private_endpoints::serve(call),
        "microsoft.network/privateendpoints/privatednszonegroups" => zone_groups::serve(call),
        "microsoft.operationalinsights/workspaces"
        | "microsoft.storage/storageaccounts/networksecurityperimeterconfigurations" => call.read_only(),
        "microsoft.network/networkinterfaces" => networks::serve_interface(call),
        "microsoft.network/virtualnetworks" => networks::serve_network(call),
        "microsoft.network/virtualnetworks/subnets" | "microsoft.network/virtualnetworks/virtualnetworkpeerings" => {
            networks::serve_child(call)
        }
        "microsoft.network/privatednszones" => private_dns::serve_zone(call),
        "microsoft.network/privatednszones/virtualnetworklinks" => private_dns::serve_link(call),
        "microsoft.storage/storageaccounts"
        | "microsoft.storage/storageaccounts/listkeys"
        | "microsoft.storage/storageaccounts/blobservices"
        | "microsoft.storage/checknameavailability" => storage::serve(call),
        "microsoft.containerregistry/registries"
        | "microsoft.containerregistry/registries/replications"
        | "microsoft.containerregistry/registries/listusages"
        | "microsoft.containerregistry/checknameavailability" => container_registries::serve(call),
        "microsoft.authorization/locks" => locks::serve(call),
        "microsoft.authorization/denyassignments" => scopes::serve_deny_assignments(call),
        "microsoft.authorization/policyassignments"
        | "microsoft.authorization/policydefinitions"
        | "microsoft.authorization/policysetdefinitions"
        | "microsoft.authorization/policyexemptions" => scopes::serve_policies(call),
        "microsoft.authorization/permissions" => scopes::serve_permissions(call),
        "microsoft.authorization/roleassignments" | "microsoft.authorization/roledefinitions" => roles::serve(call),
        _ if kind.starts_with("microsoft.network/privatednszones/") => record_sets::serve(call),
        _ if kind.ends_with("/privateendpointconnections") => accounts::serve_connection(call),
        _ if kind.ends_with("/privatelinkresources") => accounts::serve_link_resources(call),
        _ => Err(call.no_such_method()),
    }
}
