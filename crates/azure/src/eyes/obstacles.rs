//! What would stand in the way: deny assignments on the managed resource group (azure.md §1.6), and what forbids opening public
//! access again: denying policies (§8.1), an export policy of the container registry (U17).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use sreg_domain::seen::{ContainerRegistrySeen, DenyAssignment, Fact};
use sreg_domain::{ArmId, ExportPolicy};
use tokio::time::Instant;

use super::{Look, understood};
use crate::arm::{Call, CallError, Cause, Class};
use crate::json;

/// Definitions read in one visit. The rest is read by the next ones; until then the answer is `Unknown`.
const DEFINITIONS_PER_VISIT: usize = 48;
/// How long a definition is believed: it changes far more rarely than assignments do.
const DEFINITION_AGE: Duration = Duration::from_secs(3600);
/// Definitions remembered.
const MAX_DEFINITIONS: usize = 4096;

/// Deny assignments at the managed resource group.
pub(super) async fn deny_assignments(look: &Look<'_>, managed: Option<&ArmId>) -> Fact<Vec<DenyAssignment>> {
    let Some(managed) = managed else {
        return Fact::not_read("the registry has no managed resource group yet");
    };
    let call = Call::list(look.arm(), managed, "providers/Microsoft.Authorization/denyAssignments");
    match look.list(call.query("$filter", "atScope()")).await {
        Ok(items) => understood(managed, items.iter().map(deny_assignment).collect()),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

fn deny_assignment(item: &Value) -> Result<DenyAssignment, &'static str> {
    let texts = |value: &Value, pointer: &str| -> Vec<String> {
        json::list(value, pointer)
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let ids = |pointer: &str| {
        json::list(item, pointer)
            .iter()
            .filter_map(|p| json::string(p, "/id"))
            .collect()
    };
    if !item["properties"]["permissions"].is_array() {
        return Err("a deny assignment has no permissions");
    }
    Ok(DenyAssignment {
        name: json::text(item, "/properties/denyAssignmentName")
            .or_else(|| json::text(item, "/name"))
            .unwrap_or_default()
            .to_owned(),
        permissions: json::list(item, "/properties/permissions")
            .iter()
            .map(|p| (texts(p, "/actions"), texts(p, "/notActions")))
            .collect(),
        excluded_principals: ids("/properties/excludePrincipals"),
        principals: ids("/properties/principals"),
    })
}

/// What a policy definition means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// It does not speak of public network access.
    Irrelevant,
    /// It speaks of it; its effect, or the parameter that holds the effect with its default.
    Speaks { title: String, effect: Effect },
    /// A set: its members, with the parameters that the set hands to each.
    Set(Vec<(String, Value)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    Fixed(String),
    Parameter { name: String, default: Option<String> },
}

/// Policy definitions by lower-cased id, shared by all visits.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache {
    known: Mutex<HashMap<String, (Instant, Meaning)>>,
}

impl PolicyCache {
    fn get(&self, id: &str) -> Option<Meaning> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(id)
            .filter(|(at, _)| at.elapsed() < DEFINITION_AGE)
            .map(|(_, meaning)| meaning.clone())
    }

    fn put(&self, id: &str, meaning: Meaning) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_DEFINITIONS {
            known.retain(|_, (at, _)| at.elapsed() < DEFINITION_AGE / 2);
        }
        if known.len() < MAX_DEFINITIONS {
            known.insert(id.to_owned(), (Instant::now(), meaning));
        }
    }
}

/// Sentences about policies, assigned at the registry or its managed group or above, that deny changes of public network access.
/// Best effort: a policy can deny in ways that no reading of its rule foresees.
pub(super) async fn denying_policies(look: &Look<'_>, registry: &ArmId, managed: Option<&ArmId>) -> Fact<Vec<String>> {
    let scopes: BTreeSet<&ArmId> = [Some(registry), managed].into_iter().flatten().collect();
    let listed = join_all(scopes.into_iter().map(|scope| {
        look.list(Call::list(
            look.arm(),
            scope,
            "providers/Microsoft.Authorization/policyAssignments",
        ))
    }))
    .await;
    let mut assignments: BTreeMap<String, Value> = BTreeMap::new();
    for listing in listed {
        match listing {
            Ok(items) => assignments.extend(items.into_iter().map(|a| (a["id"].to_string().to_ascii_lowercase(), a))),
            Err(error) => return Fact::Unknown(error.into_ignorance()),
        }
    }
    let enforced: Vec<&Value> = assignments
        .values()
        .filter(|a| json::text(a, "/properties/enforcementMode") != Some("DoNotEnforce"))
        .collect();
    let first: BTreeSet<String> = enforced.iter().filter_map(|a| definition_of(a)).collect();
    let outcome = async {
        let direct = meanings(look, registry, first, DEFINITIONS_PER_VISIT).await?;
        let members: BTreeSet<String> = direct
            .values()
            .flat_map(|m| match m {
                Meaning::Set(members) => members.iter().map(|(id, _)| id.clone()).collect(),
                Meaning::Irrelevant | Meaning::Speaks { .. } => Vec::new(),
            })
            .collect();
        let inner = meanings(look, registry, members, DEFINITIONS_PER_VISIT).await?;
        Ok::<_, CallError>((direct, inner))
    };
    match outcome.await {
        Ok((direct, inner)) => Fact::Seen(enforced.iter().flat_map(|a| sentences(a, &direct, &inner)).collect()),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

/// Policies and export policies together; not knowing the policies is not knowing the obstacles.
pub(super) fn together(
    policies: Fact<Vec<String>>,
    acrs: &BTreeMap<ArmId, Fact<ContainerRegistrySeen>>,
) -> Fact<Vec<String>> {
    policies.map(|mut sentences| {
        for (id, acr) in acrs {
            let export = acr.seen().and_then(|a| a.export_policy.as_ref());
            if let Some(ExportPolicy::Unknown(status)) = export {
                sentences.push(format!(
                    "the export policy of {} is {status:?}, which this version of the operator does not know: it may forbid \
                     opening again",
                    id.key()
                ));
            }
            if export == Some(&ExportPolicy::Disabled) {
                // An acknowledgement names a digest of these sentences: Azure may spell the id in another case next time.
                sentences.push(format!(
                    "the export policy of {} is disabled, which Azure combines with disabled public access only: enable it \
                     before opening again",
                    id.key()
                ));
            }
        }
        sentences
    })
}

async fn meanings(
    look: &Look<'_>,
    registry: &ArmId,
    ids: BTreeSet<String>,
    most: usize,
) -> Result<BTreeMap<String, Meaning>, CallError> {
    let cache = &look.inner.policies;
    let mut known: BTreeMap<String, Meaning> = ids.iter().filter_map(|id| Some((id.clone(), cache.get(id)?))).collect();
    let missing: Vec<&String> = ids.iter().filter(|id| !known.contains_key(*id)).collect();
    let postponed = missing.len().saturating_sub(most);
    let read = join_all(
        missing
            .into_iter()
            .take(most)
            .map(|id| async move { (id.clone(), meaning(look, registry, id).await) }),
    );
    for (id, result) in read.await {
        let meaning = result?;
        cache.put(&id, meaning.clone());
        known.insert(id, meaning);
    }
    if postponed > 0 {
        return Err(CallError {
            attempt: format!("read the policies on {registry}"),
            cause: Cause::Conflict,
            status: None,
            code: None,
            message: format!("{postponed} more policy definitions are read by the next visits"),
            correlation_id: None,
            retry_after: None,
            may_have_taken_effect: false,
        });
    }
    Ok(known)
}

async fn meaning(look: &Look<'_>, registry: &ArmId, id: &str) -> Result<Meaning, CallError> {
    let arm = look.arm();
    let url = arm.url(id, arm.versions.of("microsoft.authorization/policydefinitions"));
    let call = Call::get(
        url,
        &format!("read {id}"),
        Some((registry.subscription().to_owned(), Class::Read)),
    );
    match look.send(call, arm.scope()).await {
        Ok(answer) => Ok(meaning_of(&answer.object()?)),
        // A definition that is gone denies nothing.
        Err(error) if error.cause == Cause::Missing => Ok(Meaning::Irrelevant),
        Err(error) => Err(error),
    }
}

/// The lower-cased id of an assignment's definition, if it is fit for a path.
fn definition_of(assignment: &Value) -> Option<String> {
    path(json::text(assignment, "/properties/policyDefinitionId")?)
}

/// A provider path outside a resource group, such as `/providers/microsoft.authorization/policydefinitions/x`.
fn path(id: &str) -> Option<String> {
    let legal = |s: &str| {
        !s.is_empty() && s != "." && s != ".." && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.()$".contains(&b))
    };
    let lower = id.to_ascii_lowercase();
    let rest = lower.strip_prefix('/')?;
    let fit = rest.len() < 1024 && rest.split('/').all(legal) && rest.contains("microsoft.authorization/policy");
    fit.then_some(lower)
}

fn meaning_of(definition: &Value) -> Meaning {
    let properties = &definition["properties"];
    if let Some(Value::Array(members)) = properties.get("policyDefinitions") {
        let member = |m: &Value| Some((path(json::text(m, "/policyDefinitionId")?)?, m["parameters"].clone()));
        return Meaning::Set(members.iter().filter_map(member).collect());
    }
    let rule = &properties["policyRule"];
    if !rule.to_string().to_ascii_lowercase().contains("publicnetworkaccess") {
        return Meaning::Irrelevant;
    }
    let title = json::text(properties, "/displayName")
        .or_else(|| json::text(definition, "/name"))
        .unwrap_or("unnamed");
    let effect = json::text(rule, "/then/effect").unwrap_or_default();
    let effect = match parameter(effect) {
        Some(name) => {
            let default = json::string(properties, &format!("/parameters/{name}/defaultValue"));
            Effect::Parameter { name, default }
        }
        None => Effect::Fixed(effect.to_owned()),
    };
    Meaning::Speaks {
        title: title.to_owned(),
        effect,
    }
}

/// The name in `[parameters('effect')]`.
fn parameter(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let name = inner
        .strip_prefix("parameters(")?
        .strip_suffix(')')?
        .trim_matches(['\'', '"', ' ']);
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    (plain && !name.is_empty()).then(|| name.to_owned())
}

fn sentences(assignment: &Value, direct: &BTreeMap<String, Meaning>, inner: &BTreeMap<String, Meaning>) -> Vec<String> {
    let given = &assignment["properties"]["parameters"];
    let Some(meaning) = definition_of(assignment).and_then(|id| direct.get(&id)) else {
        return Vec::new();
    };
    let titles: Vec<String> = match meaning {
        Meaning::Irrelevant => Vec::new(),
        Meaning::Speaks { .. } => denies(meaning, given, &Value::Null).into_iter().collect(),
        Meaning::Set(members) => members
            .iter()
            .filter_map(|(id, handed)| denies(inner.get(id)?, handed, given))
            .collect(),
    };
    let name = json::text(assignment, "/properties/displayName")
        .or_else(|| json::text(assignment, "/name"))
        .unwrap_or("unnamed");
    titles
        .into_iter()
        .map(|title| format!("policy assignment {name:?} denies by {title:?}, which speaks of public network access"))
        .collect()
}

/// The title of a definition whose effect is to deny. A set hands parameters of its own, whose values the assignment gives.
fn denies(meaning: &Meaning, given: &Value, outer: &Value) -> Option<String> {
    let Meaning::Speaks { title, effect } = meaning else {
        return None;
    };
    let effect = match effect {
        Effect::Fixed(effect) => effect.clone(),
        Effect::Parameter { name, default } => {
            let value = json::string(given, &format!("/{name}/value"));
            let handed = value.as_deref().and_then(parameter);
            match handed {
                // Without a value in the assignment the set's default decides, which is not read here: assume the worst.
                Some(outer_name) => {
                    json::string(outer, &format!("/{outer_name}/value")).unwrap_or_else(|| "Deny".to_owned())
                }
                None => value.or_else(|| default.clone())?,
            }
        }
    };
    effect.eq_ignore_ascii_case("deny").then(|| title.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(effect: &str, default: Option<&str>) -> Value {
        json!({"name": "d", "properties": {"displayName": "No public registries", "parameters": {"effect": {"defaultValue": default}},
            "policyRule": {"if": {"field": "Microsoft.MachineLearningServices/registries/publicNetworkAccess", "equals": "Enabled"},
            "then": {"effect": effect}}}})
    }

    fn assignment(parameters: Value) -> Value {
        json!({"name": "a", "properties": {"displayName": "guard", "parameters": parameters,
            "policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/D"}})
    }

    const DEFINITION: &str = "/providers/microsoft.authorization/policydefinitions/d";

    fn said(definition: &Value, parameters: Value) -> Vec<String> {
        let direct = BTreeMap::from([(DEFINITION.to_owned(), meaning_of(definition))]);
        sentences(&assignment(parameters), &direct, &BTreeMap::new())
    }

    #[test]
    fn a_policy_is_an_obstacle_only_when_it_denies_and_speaks_of_public_access() {
        let by_parameter = definition("[parameters('effect')]", Some("Audit"));
        assert_eq!(said(&definition("deny", None), json!({})).len(), 1);
        assert_eq!(said(&definition("audit", None), json!({})).len(), 0);
        assert_eq!(said(&by_parameter, json!({})).len(), 0);
        assert_eq!(said(&by_parameter, json!({"effect": {"value": "Deny"}})).len(), 1);
        assert_eq!(
            said(
                &json!({"properties": {"policyRule": {"then": {"effect": "deny"}}}}),
                json!({})
            )
            .len(),
            0
        );
        assert!(said(&definition("deny", None), json!({}))[0].contains("\"guard\""));
    }

    #[test]
    fn a_set_hands_its_parameters_down() {
        let set = json!({"properties": {"policyDefinitions": [{"policyDefinitionId": DEFINITION,
            "parameters": {"effect": {"value": "[parameters('registryEffect')]"}}}]}});
        let assigned = |value: Value| {
            let direct = BTreeMap::from([(DEFINITION.to_owned(), meaning_of(&set))]);
            let inner = BTreeMap::from([(
                DEFINITION.to_owned(),
                meaning_of(&definition("[parameters('effect')]", Some("Audit"))),
            )]);
            sentences(&assignment(value), &direct, &inner).len()
        };
        assert_eq!(assigned(json!({"registryEffect": {"value": "Deny"}})), 1);
        assert_eq!(assigned(json!({"registryEffect": {"value": "Audit"}})), 0);
        assert_eq!(assigned(json!({})), 1, "unknown is taken for the worst");
    }

    #[test]
    fn only_policy_paths_are_asked() {
        assert_eq!(
            path("/providers/Microsoft.Authorization/policyDefinitions/X").as_deref(),
            Some("/providers/microsoft.authorization/policydefinitions/x")
        );
        for bad in [
            "https://evil.example/",
            "/providers/x/../y",
            "/providers/Microsoft.Authorization/policyDefinitions/a?b",
            "",
            "/providers/Microsoft.Storage/x/y",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn deny_assignments_are_read_with_their_exclusions() {
        let item = json!({"name": "n", "properties": {"denyAssignmentName": "managed", "permissions": [{"actions": ["*/write"], "notActions": ["x"]}],
            "principals": [{"id": DenyAssignment::EVERYONE}], "excludePrincipals": [{"id": "me"}]}});
        let seen = deny_assignment(&item).unwrap();
        assert!(seen.denies("you", "Microsoft.Storage/storageAccounts/write"));
        assert!(!seen.denies("ME", "Microsoft.Storage/storageAccounts/write"));
        assert!(deny_assignment(&json!({"properties": {}})).is_err());
    }
}
