//! What ARM itself answers about the tenant: tenants, subscriptions, locations, providers, and resources of every type in one
//! list. A list holds what the caller may read; nobody is refused one at the tenant's level.

use http::Method;
use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::Call;
use super::filter::{Filter, OF_RESOURCES};
use super::path::name_of;
use super::rendering::render;
use super::versions;
use crate::permissions::allowed;
use crate::regions::REGIONS;
use crate::world::{Resource, World};

/// Answers `/tenants`: the caller's own.
pub(crate) fn serve_tenants(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    only_read(call)?;
    let tenant = call.control.tenant.clone();
    Ok(JsonResponse::list(vec![json!({
        "id": format!("/tenants/{tenant}"), "tenantId": tenant, "countryCode": "NL", "displayName": "Contoso",
        "domains": ["contoso.onmicrosoft.com"], "tenantCategory": "Home", "defaultDomain": "contoso.onmicrosoft.com",
        "tenantType": "AAD",
    })]))
}

/// Answers requests for subscriptions.
pub(crate) fn serve_subscriptions(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    only_read(call)?;
    if !call.path.is_collection() {
        return call.read();
    }
    let action = "Microsoft.Resources/subscriptions/read";
    let readable = call.world.of_kind("microsoft.resources/subscriptions").filter(|s| {
        // Whoever has a role anywhere in a subscription sees it.
        allowed(call.world, &call.principal, action, &s.id)
            || call
                .principal
                .roles
                .iter()
                .any(|role| crate::permissions::within(&role.scope, &s.id))
    });
    Ok(JsonResponse::list(readable.map(|s| s.body.clone()).collect()))
}

/// Answers `…/locations` of a subscription.
pub(crate) fn serve_locations(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    only_read(call)?;
    let scope = call.path.text.rsplit_once('/').map_or("", |(scope, _)| scope);
    let location = |(name, display): &(&str, &str)| {
        json!({
            "id": format!("{scope}/locations/{name}"), "name": name, "type": "Region", "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": "", "pairedRegion": []},
        })
    };
    Ok(JsonResponse::list(REGIONS.iter().map(location).collect()))
}

/// Answers lists of resources of every type, below a subscription or a resource group.
///
/// # Errors
/// 400 for a filter that nobody understands.
pub(crate) fn serve_resources(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    only_read(call)?;
    let scope = call.path.text.rsplit_once('/').map_or("", |(scope, _)| scope);
    let wanted = call
        .parameter("$filter")
        .map(|f| Filter::parse(f, OF_RESOURCES))
        .transpose()?;
    let expands = call.parameter("$expand").unwrap_or("").to_ascii_lowercase();
    let fits = |r: &&Resource| {
        is_tracked(r)
            && wanted.as_ref().is_none_or(|filter| filter.passes(&r.kind, &r.body))
            && allowed(
                call.world,
                &call.principal,
                &format!("{}/read", versions::spelled(&r.kind)),
                &r.id,
            )
    };
    let found = call.world.below(scope).filter(fits);
    Ok(JsonResponse::list(
        found.map(|r| brief(call.world, r, &expands)).collect(),
    ))
}

/// Types that ARM keeps itself: those that live in a region, or have tags.
fn is_tracked(resource: &Resource) -> bool {
    let known = versions::find(&resource.kind).is_some() || versions::is_unmodelled(&resource.kind);
    known
        && resource.body.get("location").is_some()
        && !resource.kind.starts_with("microsoft.resources/")
        && !resource.kind.ends_with("/privateendpointconnections")
}

/// A resource as such a list shows it: without its properties.
fn brief(world: &World, resource: &Resource, expands: &str) -> Value {
    let whole = render(world, resource);
    let mut item =
        json!({ "id": whole["id"], "name": name_of(&resource.id), "type": versions::spelled(&resource.kind) });
    for field in ["location", "tags", "sku", "kind", "identity", "managedBy", "systemData"] {
        if let Some(value) = whole.get(field).filter(|v| !v.is_null()) {
            item[field] = value.clone();
        }
    }
    if expands.contains("provisioningstate") {
        item["provisioningState"] = whole
            .pointer("/properties/provisioningState")
            .cloned()
            .unwrap_or(json!("Succeeded"));
    }
    item
}

/// Answers `…/providers`: all that are served.
pub(crate) fn serve_providers(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    only_read(call)?;
    let mut names: Vec<&str> = versions::all().map(|s| s.namespace).collect();
    names.dedup();
    Ok(JsonResponse::list(
        names.into_iter().map(|n| provider(call, n)).collect(),
    ))
}

/// Answers `…/providers/{namespace}`: whether it is registered, and its types with their versions; and registers it.
pub(crate) fn serve_provider(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let asked = call.path.namespace.clone().unwrap_or_default();
    let Some(namespace) = versions::namespace(&asked) else {
        if versions::is_unmodelled(&asked.to_ascii_lowercase()) {
            return Err(ArmError::not_modelled(&format!("the namespace '{asked}'")));
        }
        let said = format!("The resource namespace '{asked}' is invalid.");
        return Err(ArmError::new(404, "InvalidResourceNamespace", said));
    };
    let word = call.path.types.first().map(|w| w.to_ascii_lowercase());
    match (call.method.as_str(), word.as_deref()) {
        ("GET", None) => {}
        ("POST", Some("register")) => {
            let subscription = call.path.subscription.clone().unwrap_or_default().to_ascii_lowercase();
            if let Some(missing) = call.control.unregistered.get_mut(&subscription) {
                missing.remove(&namespace.to_ascii_lowercase());
            }
        }
        _ => return Err(call.no_such_method()),
    }
    Ok(JsonResponse::new(200, provider(call, namespace)))
}

fn provider(call: &Call<'_>, namespace: &str) -> Value {
    let newest = call.world.switches.newest_api_versions;
    let regions: Vec<&str> = REGIONS.iter().map(|(_, display)| *display).collect();
    let types: Vec<Value> = versions::all()
        .filter(|s| s.namespace == namespace)
        .map(|s| {
            let all: Vec<&str> = versions::versions_of(s, newest).collect();
            json!({ "resourceType": s.name, "apiVersions": all, "locations": regions, "capabilities": "None" })
        })
        .collect();
    let subscription = call.path.subscription.clone().map(|s| s.to_ascii_lowercase());
    let mut body = json!({ "namespace": namespace, "resourceTypes": types });
    let Some(subscription) = subscription else {
        return body;
    };
    let unregistered = call.control.unregistered.get(&subscription);
    let missing = unregistered.is_some_and(|u| u.contains(&namespace.to_ascii_lowercase()));
    body["id"] = json!(format!("/subscriptions/{subscription}/providers/{namespace}"));
    body["registrationState"] = json!(if missing { "NotRegistered" } else { "Registered" });
    body["registrationPolicy"] = json!("RegistrationRequired");
    body
}

fn only_read(call: &Call<'_>) -> Result<(), ArmError> {
    match call.method == Method::GET {
        true => Ok(()),
        false => Err(call.no_such_method()),
    }
}
