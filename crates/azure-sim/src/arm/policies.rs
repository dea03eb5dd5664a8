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

/// Whether something on a scope holds for a resource. There is one tree of management groups, above everything.
pub(crate) fn covers(scope: &str, resource: &str) -> bool {
    let group = key(scope).starts_with("/providers/microsoft.management/managementgroups/");
    group || within(resource, if scope.is_empty() { "/" } else { scope })
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
        if !in_force(&assignment.id, &assignment.body, resource) {
            continue;
        }
        let given = &assignment.body["properties"]["parameters"];
        for (definition, reference, parameters) in assigned(call.world, &assignment.body, given) {
            let parameters = resolved(definition, &parameters);
            let rule = &definition["properties"]["policyRule"];
            let effect = overridden(&assignment.body, &reference)
                .or_else(|| value(&rule["then"]["effect"], &parameters).as_str().map(str::to_owned));
            let denies = effect.is_some_and(|e| e.eq_ignore_ascii_case("deny"));
            let condition = value(&rule["if"], &parameters);
            if denies
                && holds(&condition, &kind, &wanted)
                && !is_exempt(
                    call.world,
                    &assignment.id,
                    &reference,
                    resource,
                    call.clock.at(call.now),
                )
            {
                return Err(refusal(call, &assignment.id, &assignment.body, definition));
            }
        }
    }
    Ok(())
}

/// Whether an assignment is enforced for a resource.
fn in_force(id: &str, assignment: &Value, resource: &str) -> bool {
    let scope = ArmPath::parse(id).map(|p| p.scope).unwrap_or_default();
    let left_out = list(assignment, "/properties/notScopes")
        .iter()
        .filter_map(Value::as_str)
        .any(|s| within(resource, s));
    covers(&scope, resource) && !left_out && text(assignment, "/properties/enforcementMode") != "DoNotEnforce"
}

/// What an assignment assigns: a definition, or the members of an initiative, each with its name there and its parameters.
fn assigned<'a>(world: &'a World, assignment: &Value, given: &Value) -> Vec<(&'a Value, String, Value)> {
    let Some(first) = world.get(text(assignment, "/properties/policyDefinitionId")) else {
        return Vec::new();
    };
    let members = list(&first.body, "/properties/policyDefinitions");
    if members.is_empty() {
        return vec![(&first.body, String::new(), given.clone())];
    }
    let outer = resolved(&first.body, given);
    let member = |m: &Value| {
        let definition = world.get(text(m, "/policyDefinitionId"))?;
        let reference = text(m, "/policyDefinitionReferenceId").to_owned();
        Some((&definition.body, reference, value(&m["parameters"], &outer)))
    };
    members.iter().filter_map(member).collect()
}

/// Parameters by name: what is given, else the default.
fn resolved(definition: &Value, given: &Value) -> BTreeMap<String, Value> {
    let declared = definition.pointer("/properties/parameters").and_then(Value::as_object);
    let value = |(name, declared): (&String, &Value)| {
        let given = given.get(name).and_then(|p| p.get("value"));
        Some((key(name), given.or_else(|| declared.get("defaultValue"))?.clone()))
    };
    declared.into_iter().flatten().filter_map(value).collect()
}

/// A value with its parameters put in, wherever they stand.
fn value(written: &Value, parameters: &BTreeMap<String, Value>) -> Value {
    match written {
        Value::String(text) => text
            .strip_prefix("[parameters('")
            .and_then(|p| p.strip_suffix("')]"))
            .and_then(|name| parameters.get(&key(name)))
            .cloned()
            .unwrap_or_else(|| written.clone()),
        Value::Array(items) => items.iter().map(|i| value(i, parameters)).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), value(v, parameters))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => written.clone(),
    }
}

/// The effect that an override gives a member.
fn overridden(assignment: &Value, reference: &str) -> Option<String> {
    let of_effect = |o: &&Value| text(o, "/kind").eq_ignore_ascii_case("policyEffect");
    let chosen = |o: &&Value| {
        list(o, "/selectors").iter().all(|s| {
            text(s, "/kind").eq_ignore_ascii_case("policyDefinitionReferenceId")
                && list(s, "/in").iter().filter_map(Value::as_str).any(|r| r == reference)
        })
    };
    let mut overrides = list(assignment, "/properties/overrides").iter().filter(of_effect);
    overrides.find(chosen).map(|o| text(o, "/value").to_owned())
}

/// Whether an exemption that has not expired frees a resource.
fn is_exempt(world: &World, assignment: &str, reference: &str, resource: &str, now: jiff::Timestamp) -> bool {
    world.of_kind("microsoft.authorization/policyexemptions").any(|e| {
        let scope = ArmPath::parse(&e.id).map(|p| p.scope).unwrap_or_default();
        let references = list(&e.body, "/properties/policyDefinitionReferenceIds");
        let expires = text(&e.body, "/properties/expiresOn").parse::<jiff::Timestamp>();
        covers(&scope, resource)
            && text(&e.body, "/properties/policyAssignmentId").eq_ignore_ascii_case(assignment)
            && (references.is_empty() || references.iter().filter_map(Value::as_str).any(|r| r == reference))
            && expires.is_ok_and(|at| now < at) | text(&e.body, "/properties/expiresOn").is_empty()
    })
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

fn refusal(call: &Call<'_>, assignment_id: &str, assignment: &Value, definition: &Value) -> ArmError {
    let definition_id = text(definition, "/id");
    let mut looked_at = Vec::new();
    fields(&definition["properties"]["policyRule"]["if"], &mut looked_at);
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
