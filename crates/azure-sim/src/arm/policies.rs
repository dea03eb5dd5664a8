//! Azure Policy, as far as the operator meets it: assignments that deny a write (azure.md §6.3, §8.1), and the built-in kind
//! that makes zone groups for new endpoints (§4.2). Pure questions and changes of the world.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::ArmError;
use super::call::Call;
use super::endpoint_addresses::is_manual;
use super::path::{ArmPath, name_of};
use crate::journal::Actor;
use crate::json::{list, merge, text};
use crate::operations::{Last, Plan};
use crate::permissions::within;
use crate::world::{World, key};

/// The policy that makes a zone group `deployedByPolicy` for each new endpoint, some time after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrivateDnsPolicy {
    /// ARM id of the zone for each `groupId`; other endpoints it leaves alone. The built-in policies know no `amlregistry`.
    pub zones: BTreeMap<String, String>,
    /// How long after an endpoint's operation it acts, in simulated seconds; about ten minutes in Azure.
    #[serde(default = "ten_minutes")]
    pub delay_seconds: u64,
    /// It serves manual connections too, which the built-in ones do not.
    #[serde(default)]
    pub manual_connections: bool,
}

fn ten_minutes() -> u64 {
    600
}

/// Plans what the policy will do for the endpoint that this call writes, `operation` being the call's own.
pub(crate) fn plan_zone_group(call: &mut Call<'_>, operation: &str) {
    let Some(policy) = call.control.private_dns_policy.clone() else {
        return;
    };
    let ends = call.control.operations.get(operation).map_or(call.now, |o| o.ends);
    let at = ends.saturating_add(Duration::from_secs(policy.delay_seconds));
    let endpoint = call.path.text.clone();
    let plan = Plan {
        id: format!("{operation}-policy"),
        resource: format!("{endpoint}/privateDnsZoneGroups/deployedByPolicy"),
        length: at.saturating_sub(call.now),
        last: Last::NoContent,
        full_object: false,
        busy: Vec::new(),
        effect: Box::new(move |world, at| {
            let actor = std::mem::replace(&mut world.actor, Actor::Policy);
            deploy(world, &policy, &endpoint, at);
            world.actor = actor;
            Ok(())
        }),
    };
    call.control.operations.start(plan, call.now);
}

/// Makes the zone group, unless the endpoint has one already or is none of the policy's.
fn deploy(world: &mut World, policy: &PrivateDnsPolicy, endpoint_id: &str, at: Duration) {
    let Some(endpoint) = world.get(endpoint_id) else { return };
    let group_id = super::connections::group_ids(&endpoint.body)
        .first()
        .and_then(Value::as_str)
        .unwrap_or("");
    let zone = policy
        .zones
        .get(group_id)
        .and_then(|z| world.get(z))
        .map(|z| z.id.clone());
    let Some(zone) = zone.filter(|_| policy.manual_connections || !is_manual(&endpoint.body)) else {
        return;
    };
    if world
        .below(endpoint_id)
        .any(|r| r.kind.ends_with("/privatednszonegroups"))
    {
        return;
    }
    let id = format!("{}/privateDnsZoneGroups/deployedByPolicy", endpoint.id);
    let body = json!({
        "id": id, "name": "deployedByPolicy", "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "properties": {"provisioningState": "Succeeded", "privateDnsZoneConfigs": [{
            "name": name_of(&zone).replace('.', "-"),
            "properties": {"provisioningState": "Succeeded", "privateDnsZoneId": zone, "recordSets": []}}]},
    });
    world.put(&id, body, at);
    super::connections::refresh_names(world, endpoint_id, at);
}

/// Refuses a PUT or PATCH that an assigned policy denies.
pub(crate) fn check(call: &Call<'_>) -> Result<(), ArmError> {
    let mut wanted = match call.method {
        http::Method::PUT => json!({}),
        http::Method::PATCH => call.world.get(&call.path.text).map_or(json!({}), |r| r.body.clone()),
        _ => return Ok(()),
    };
    // A body that cannot be read is the provider's to refuse.
    let Ok(asked) = serde_json::from_slice::<Value>(call.sent) else {
        return Ok(());
    };
    let (mut resource, mut kind) = (call.path.text.as_str(), call.path.kind());
    if kind == "microsoft.resources/tags" {
        // A write of tags is judged as one of the resource that gets them.
        resource = &call.path.scope;
        kind = super::path::kind_of(resource);
        wanted = call.world.get(resource).map_or(json!({}), |r| r.body.clone());
        let after = super::tags::after(call, &super::tags::tags_of(&wanted))?;
        wanted["tags"] = Value::Object(after);
    } else {
        merge(&mut wanted, &asked);
        if let Some(fields) = wanted.as_object_mut() {
            fields.insert("name".to_owned(), json!(call.path.name()));
        }
    }
    let kind = super::versions::spelled(&kind);
    for assignment in call.world.of_kind("microsoft.authorization/policyassignments") {
        let Some(definition) = deny_of(call.world, &assignment.id, &assignment.body, resource) else {
            continue;
        };
        if holds(&definition.body["properties"]["policyRule"]["if"], &kind, &wanted) {
            return Err(refusal(call, &assignment.id, &assignment.body, definition));
        }
    }
    Ok(())
}

/// The definition of an assignment that is in force for this resource and denies.
fn deny_of<'a>(
    world: &'a World,
    assignment_id: &str,
    assignment: &Value,
    resource: &str,
) -> Option<&'a crate::world::Resource> {
    let scope = ArmPath::parse(assignment_id)?.scope;
    let excluded = list(assignment, "/properties/notScopes")
        .iter()
        .filter_map(Value::as_str)
        .any(|s| within(resource, s));
    if !within(resource, &scope) || excluded || text(assignment, "/properties/enforcementMode") == "DoNotEnforce" {
        return None;
    }
    let definition = world.get(text(assignment, "/properties/policyDefinitionId"))?;
    let written = text(&definition.body, "/properties/policyRule/then/effect");
    let effect = match written
        .strip_prefix("[parameters('")
        .and_then(|p| p.strip_suffix("')]"))
    {
        Some(name) => {
            let given = text(assignment, &format!("/properties/parameters/{name}/value"));
            match given.is_empty() {
                true => text(&definition.body, &format!("/properties/parameters/{name}/defaultValue")),
                false => given,
            }
        }
        None => written,
    };
    effect.eq_ignore_ascii_case("deny").then_some(definition)
}

/// Whether a condition of a rule holds: `allOf`, `anyOf`, `not`, and fields compared. What is not understood does not hold.
fn holds(condition: &Value, kind: &str, body: &Value) -> bool {
    if let Some(all) = condition.get("allOf").and_then(Value::as_array) {
        return all.iter().all(|c| holds(c, kind, body));
    }
    if let Some(any) = condition.get("anyOf").and_then(Value::as_array) {
        return any.iter().any(|c| holds(c, kind, body));
    }
    if let Some(inner) = condition.get("not") {
        return !holds(inner, kind, body);
    }
    let name = text(condition, "/field");
    if name.is_empty() {
        return false;
    }
    let value = field(name, kind, body);
    let same = |wanted: &Value| match (&value, wanted) {
        (Some(Value::String(a)), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Some(a), b) => a == b,
        (None, _) => false,
    };
    let like = |wanted: &Value| match (&value, wanted) {
        (Some(Value::String(a)), Value::String(b)) => crate::permissions::matches(b, a),
        (Some(_) | None, _) => false,
    };
    let among = |wanted: &Value| wanted.as_array().is_some_and(|all| all.iter().any(same));
    let test = |operator: &str, holds: &dyn Fn(&Value) -> bool| condition.get(operator).is_some_and(holds);
    test("equals", &same)
        || test("notEquals", &|wanted| !same(wanted))
        || test("like", &like)
        || test("notLike", &|wanted| !like(wanted))
        || test("in", &among)
        || test("notIn", &|wanted| !among(wanted))
        || test("exists", &|wanted| {
            value.is_some() == wanted.as_bool().unwrap_or(wanted.as_str() == Some("true"))
        })
}

/// A field of the resource: `type`, `location`, `name`, `tags['x']`, or an alias such as `Microsoft.X/y/publicNetworkAccess`.
fn field(name: &str, kind: &str, body: &Value) -> Option<Value> {
    match name {
        "type" => Some(json!(kind)),
        "location" | "name" | "kind" => body.get(name).cloned(),
        tag if tag.starts_with("tags[") => {
            let tag = tag.trim_start_matches("tags[").trim_end_matches(']').trim_matches('\'');
            let tags = body.get("tags").and_then(Value::as_object)?;
            let named = tags.iter().find(|(name, _)| name.to_lowercase() == tag.to_lowercase());
            named.map(|(_, value)| value.clone())
        }
        alias => {
            let (of, path) = alias.rsplit_once('/')?;
            let pointer = format!("/properties/{}", path.replace('.', "/"));
            body.pointer(&pointer).filter(|_| key(of) == key(kind)).cloned()
        }
    }
}

/// The fields that a rule looks at, as Azure lists them.
fn fields(condition: &Value, found: &mut Vec<String>) {
    match condition {
        Value::Object(map) => {
            if let Some(field) = map.get("field").and_then(Value::as_str) {
                found.push(field.replace('\'', ""));
            }
            map.values().for_each(|inner| fields(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| fields(inner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn refusal(call: &Call<'_>, assignment_id: &str, assignment: &Value, definition: &crate::world::Resource) -> ArmError {
    let definition_id = definition.id.as_str();
    let mut looked_at = Vec::new();
    fields(&definition.body["properties"]["policyRule"]["if"], &mut looked_at);
    let expressions: Vec<Value> = looked_at
        .iter()
        .map(|path| json!({"result": "True", "expressionKind": "Field", "expression": path, "path": path}))
        .collect();
    let name = text(assignment, "/properties/displayName");
    let name = if name.is_empty() { name_of(assignment_id) } else { name };
    let said = format!(
        "Resource '{}' was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"{name}\",\"id\":\"{assignment_id}\"}}}}]'.",
        call.path.name()
    );
    let mut error = ArmError::new(403, "RequestDisallowedByPolicy", said);
    error.additional.push(json!({
        "type": "PolicyViolation",
        "info": {
            "policyAssignmentId": assignment_id, "policyAssignmentName": name_of(assignment_id),
            "policyDefinitionId": definition_id, "policyDefinitionName": name_of(definition_id),
            "policyDefinitionEffect": "deny", "evaluationDetails": {"evaluatedExpressions": expressions},
        },
    }));
    error
}
