//! What ARM itself answers about the tenant: tenants, subscriptions, locations, providers, and resources of every type in one
//! list. A list holds what the caller may read; nobody is refused one at the tenant's level.

use http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::path::name_of;
use super::rendering::render;
use super::versions;
use crate::json::text;
use crate::permissions::allowed;
use crate::regions::REGIONS;
use crate::targets::region;
use crate::world::{Resource, World};

/// Answers `/tenants`: the caller's own.
pub(crate) fn serve_tenants(call: &Call<'_>) -> Result<Answer, ArmError> {
    only_read(call)?;
    let tenant = call.control.tenant.clone();
    Ok(Answer::list(vec![json!({
        "id": format!("/tenants/{tenant}"), "tenantId": tenant, "countryCode": "NL", "displayName": "Contoso",
        "domains": ["contoso.onmicrosoft.com"], "tenantCategory": "Home", "defaultDomain": "contoso.onmicrosoft.com",
        "tenantType": "AAD",
    })]))
}

/// Answers requests for subscriptions.
pub(crate) fn serve_subscriptions(call: &Call<'_>) -> Result<Answer, ArmError> {
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
    Ok(Answer::list(readable.map(|s| s.body.clone()).collect()))
}

/// Answers `…/locations` of a subscription.
pub(crate) fn serve_locations(call: &Call<'_>) -> Result<Answer, ArmError> {
    only_read(call)?;
    let scope = call.path.text.rsplit_once('/').map_or("", |(scope, _)| scope);
    let location = |(name, display): &(&str, &str)| {
        json!({
            "id": format!("{scope}/locations/{name}"), "name": name, "type": "Region", "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": "", "pairedRegion": []},
        })
    };
    Ok(Answer::list(REGIONS.iter().map(location).collect()))
}

/// Answers lists of resources of every type, below a subscription or a resource group. `$filter` knows `resourceType`,
/// `resourceGroup`, `location`, `name` and tags, each compared for equality.
///
/// # Errors
/// 400 for a filter that nobody understands.
pub(crate) fn serve_resources(call: &Call<'_>) -> Result<Answer, ArmError> {
    only_read(call)?;
    let scope = call.path.text.rsplit_once('/').map_or("", |(scope, _)| scope);
    let wanted = call
        .parameter("$filter")
        .map(conditions)
        .transpose()?
        .unwrap_or_default();
    let expands = call.parameter("$expand").unwrap_or("").to_ascii_lowercase();
    let fits = |r: &&Resource| {
        is_tracked(r)
            && wanted.iter().all(|(field, value)| holds(r, field, value))
            && allowed(
                call.world,
                &call.principal,
                &format!("{}/read", versions::spelled(&r.kind)),
                &r.id,
            )
    };
    let found = call.world.below(scope).filter(fits);
    Ok(Answer::list(found.map(|r| brief(call.world, r, &expands)).collect()))
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

/// A filter taken apart into field and value: `a eq 'b' and c eq 'd'`.
pub(crate) fn conditions(filter: &str) -> Result<Vec<(String, String)>, ArmError> {
    let invalid = || {
        let said = format!("Invalid $filter '{filter}' specified in the query string.");
        ArmError::new(400, "InvalidFilterInQueryString", said)
    };
    let condition = |part: &str| {
        let (field, value) = part.trim().split_once(" eq ").ok_or_else(invalid)?;
        let value = value
            .trim()
            .strip_prefix('\'')
            .and_then(|v| v.strip_suffix('\''))
            .ok_or_else(invalid)?;
        Ok((field.trim().to_ascii_lowercase(), value.replace("''", "'")))
    };
    let mut all = filter.split(" and ").map(condition).collect::<Result<Vec<_>, _>>()?;
    // A tag stands in two conditions.
    if let [(name, tag), (of, value)] = all.as_slice()
        && name == "tagname"
        && of == "tagvalue"
    {
        all = vec![(format!("tag:{tag}"), value.clone())];
    }
    let known = ["resourcetype", "resourcegroup", "location", "name", "tagname"];
    match all
        .iter()
        .all(|(field, _)| known.contains(&field.as_str()) || field.starts_with("tag:"))
    {
        true => Ok(all),
        false => Err(invalid()),
    }
}

fn holds(resource: &Resource, field: &str, value: &str) -> bool {
    let tags = resource.body.get("tags").and_then(Value::as_object);
    match field {
        "resourcetype" => resource.kind.eq_ignore_ascii_case(value),
        "resourcegroup" => resource
            .id
            .split('/')
            .nth(4)
            .is_some_and(|g| g.eq_ignore_ascii_case(value)),
        "location" => region(text(&resource.body, "/location")) == region(value),
        "name" => name_of(&resource.id).eq_ignore_ascii_case(value),
        "tagname" => tags.is_some_and(|t| t.keys().any(|k| k.eq_ignore_ascii_case(value))),
        _ => field.strip_prefix("tag:").is_some_and(|tag| {
            tags.is_some_and(|t| {
                t.iter()
                    .any(|(k, v)| k.eq_ignore_ascii_case(tag) && v.as_str() == Some(value))
            })
        }),
    }
}

/// Answers `…/providers`: all that are served.
pub(crate) fn serve_providers(call: &Call<'_>) -> Result<Answer, ArmError> {
    only_read(call)?;
    let mut names: Vec<&str> = versions::all().map(|s| s.namespace).collect();
    names.dedup();
    Ok(Answer::list(names.into_iter().map(|n| provider(call, n)).collect()))
}

/// Answers `…/providers/{namespace}`: whether it is registered, and its types with their versions; and registers it.
pub(crate) fn serve_provider(call: &mut Call<'_>) -> Result<Answer, ArmError> {
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
    Ok(Answer::new(200, provider(call, namespace)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_taken_apart_or_refused() {
        let read = |filter: &str| conditions(filter).ok();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            read("resourceType eq 'Microsoft.Storage/x'"),
            Some(vec![pair("resourcetype", "Microsoft.Storage/x")])
        );
        assert_eq!(
            read("tagName eq 'a' and tagValue eq 'b'"),
            Some(vec![pair("tag:a", "b")])
        );
        for nonsense in [
            "",
            "resourceType",
            "resourceType eq x",
            "colour eq 'x'",
            "substringof('a', name)",
        ] {
            assert_eq!(
                conditions(nonsense).unwrap_err().code,
                "InvalidFilterInQueryString",
                "{nonsense}"
            );
        }
    }
}
