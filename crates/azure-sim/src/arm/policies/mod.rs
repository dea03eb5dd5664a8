//! Azure Policy, as far as the operator meets it (azure.md §4.2, §6.3, §8.1): assignments that deny a write or a deletion, that
//! change what was sent before anybody sees it, and that make zone groups for new endpoints some time after them.

mod conditions;
mod modify;
mod writing;
mod zone_groups;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::conditions::{fields, holds};
use super::answer::ArmError;
use super::call::Call;
use super::path::{ArmPath, name_of};
use crate::json::{list, merge, text};
use crate::permissions::within;
use crate::world::{World, key};

pub(crate) use modify::modify;
pub(crate) use writing::write;
pub(crate) use zone_groups::plan_zone_groups;

/// Whether something on a scope holds for a resource. There is one tree of management groups, above everything.
pub(crate) fn covers(scope: &str, resource: &str) -> bool {
    let group = key(scope).starts_with("/providers/microsoft.management/managementgroups/");
    group || within(resource, if scope.is_empty() { "/" } else { scope })
}

/// A resource as a write would leave it.
struct Written {
    id: String,
    /// As Azure spells it.
    kind: String,
    body: Value,
}

/// What a PUT or PATCH would leave; `None`: no write, or one whose body cannot be read, which the provider refuses.
fn written(call: &Call<'_>) -> Result<Option<Written>, ArmError> {
    let mut body = match call.method {
        http::Method::PUT => json!({}),
        http::Method::PATCH => call.world.get(&call.path.text).map_or(json!({}), |r| r.body.clone()),
        _ => return Ok(None),
    };
    let Ok(asked) = serde_json::from_slice::<Value>(&call.sent) else {
        return Ok(None);
    };
    let (mut id, mut kind) = (call.path.text.as_str(), call.path.kind());
    if kind == "microsoft.resources/tags" {
        // A write of tags is judged as one of the resource that gets them.
        id = &call.path.scope;
        kind = super::path::kind_of(id);
        body = call.world.get(id).map_or(json!({}), |r| r.body.clone());
        let after = super::tags::after(call, &super::tags::tags_of(&body))?;
        body["tags"] = Value::Object(after);
    } else {
        merge(&mut body, &asked);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("name".to_owned(), json!(call.path.name()));
        }
    }
    Ok(Some(Written {
        id: id.to_owned(),
        kind: super::versions::spelled(&kind),
        body,
    }))
}

/// A policy whose condition holds for a resource, and which nothing exempts it from.
struct Applied<'a> {
    assignment: &'a crate::world::Resource,
    definition: &'a Value,
    /// `policyRule`, with its parameters put in.
    rule: Value,
    effect: String,
}

impl Applied<'_> {
    fn has_effect(&self, effect: &str) -> bool {
        self.effect.eq_ignore_ascii_case(effect)
    }
}

/// `policyRule` of a definition, with its parameters put in.
fn rule_of(definition: &Value, parameters: &Value) -> Value {
    value(
        &definition["properties"]["policyRule"],
        &resolved(definition, parameters),
    )
}

/// Every policy that applies to a resource.
fn applying<'a>(world: &'a World, resource: &Written, now: jiff::Timestamp) -> Vec<Applied<'a>> {
    let mut all = Vec::new();
    for assignment in world.of_kind("microsoft.authorization/policyassignments") {
        if !in_force(&assignment.id, &assignment.body, &resource.id) {
            continue;
        }
        let given = &assignment.body["properties"]["parameters"];
        for (definition, reference, parameters) in assigned(world, &assignment.body, given) {
            let rule = rule_of(definition, &parameters);
            let effect = overridden(&assignment.body, &reference);
            let effect = effect.unwrap_or_else(|| text(&rule, "/then/effect").to_owned());
            if holds(&rule["if"], &resource.kind, &resource.body)
                && !is_exempt(world, &assignment.id, &reference, &resource.id, now)
            {
                all.push(Applied {
                    assignment,
                    definition,
                    rule,
                    effect,
                });
            }
        }
    }
    all
}

/// Refuses a PUT or PATCH that an assigned policy denies, and a DELETE whose action one denies.
pub(crate) fn check(call: &Call<'_>) -> Result<(), ArmError> {
    let deletes = call.method == http::Method::DELETE;
    let resource = match deletes {
        true => standing(call),
        false => written(call)?,
    };
    let Some(resource) = resource else { return Ok(()) };
    let all = applying(call.world, &resource, call.clock.at(call.now));
    let stops = |p: &&Applied<'_>| match deletes {
        true => {
            let names = list(&p.rule, "/then/details/actionNames");
            p.has_effect("denyAction") && names.iter().any(|n| n.as_str() == Some("delete"))
        }
        false => p.has_effect("deny"),
    };
    match all.iter().find(stops) {
        Some(policy) => Err(refusal(call, policy)),
        None => Ok(()),
    }
}

/// The resource at the path, as it stands.
fn standing(call: &Call<'_>) -> Option<Written> {
    let found = call.world.get(&call.path.text)?;
    Some(Written {
        id: found.id.clone(),
        kind: super::versions::spelled(&found.kind),
        body: found.body.clone(),
    })
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

fn refusal(call: &Call<'_>, policy: &Applied<'_>) -> ArmError {
    let (assignment_id, assignment) = (policy.assignment.id.as_str(), &policy.assignment.body);
    let definition = policy.definition;
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
            "policyDefinitionEffect": policy.effect, "evaluationDetails": {"evaluatedExpressions": expressions},
        },
    }));
    error
}
