//! Whether an assigned policy refuses or undoes the opening of a resource, or makes the zone group of a private endpoint, judged as
//! Azure judges (azure.md §4.2, §8.1): where the assignment holds, what the initiative and the assignment give for parameters, which
//! effect is left, whether the condition holds for the resource as it will be, and what is exempt. What is not understood counts
//! against us. Pure.

use jiff::Timestamp;
use serde_json::Value;
use sreg_domain::seen::Coverage;
use sreg_domain::target::row;
use sreg_domain::{ArmId, TargetKind};

use super::rule::{self, Subject, Truth};
use crate::json;

/// A resource as it will be: opened again, or an endpoint that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::reader) struct Target {
    pub(in crate::reader) id: ArmId,
    pub(super) then: Subject,
}

/// One definition that concerns us.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub(super) title: String,
    /// `policyRule`.
    rule: Value,
    /// `parameters`, with their defaults.
    parameters: Value,
}

/// A member of an initiative.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// The definition, lower-cased, or nothing that we can ask for.
    pub(super) definition: Option<String>,
    reference: String,
    handed: Value,
}

/// What a policy definition means for us.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    /// It neither speaks of public network access, nor makes zone groups, nor forbids deletions or writes of what we write.
    Irrelevant,
    Speaks(Definition),
    /// It names a type of target and may deny writes to it, for another property than those that opening changes.
    Guards(Definition),
    /// It deploys zone groups for private endpoints.
    MakesZoneGroups(Definition),
    /// It forbids deletions (`denyAction`).
    ForbidsDeletion(Definition),
    /// An initiative: its members, and its parameters with their defaults.
    Set(Vec<Member>, Value),
}

impl Definition {
    /// Whether it names the effect that forbids deletions, be it by a parameter.
    pub(super) fn may_forbid_deletion(&self) -> bool {
        let named = |part: &Value| part.to_string().to_ascii_lowercase().contains("denyaction");
        named(&self.rule) || named(&self.parameters)
    }
}

/// Words of the settings that opening changes. A rule that reads none of them answers for opening as it does for closing. It may be
/// assigned, or changed by Microsoft, after the lock (Azure/azure-policy#793), and refuse the way back then; see [`Meaning::Guards`].
const SETTINGS: [&str; 4] = ["publicnetworkaccess", "networkacls", "networkruleset", "\"field\":\"["];

/// What a definition, or an initiative, means for us.
pub(super) fn meaning_of(definition: &Value) -> Meaning {
    let properties = &definition["properties"];
    if let Some(Value::Array(members)) = properties.get("policyDefinitions") {
        let member = |m: &Value| Member {
            definition: json::text(m, "/policyDefinitionId").and_then(super::path),
            reference: json::string(m, "/policyDefinitionReferenceId").unwrap_or_default(),
            handed: m["parameters"].clone(),
        };
        return Meaning::Set(members.iter().map(member).collect(), properties["parameters"].clone());
    }
    let rule = &properties["policyRule"];
    let words = rule.to_string().to_ascii_lowercase();
    // Modes such as Microsoft.Kubernetes.Data are about what is inside of resources.
    let mode = json::text(properties, "/mode").unwrap_or_default().to_ascii_lowercase();
    let deploys = json::text(rule, "/then/details/type").unwrap_or_default();
    let makes_zone_groups = deploys.eq_ignore_ascii_case(ZONE_GROUPS);
    let speaks = SETTINGS.iter().any(|word| words.contains(word));
    let all = format!("{words}{}", properties["parameters"].to_string().to_ascii_lowercase());
    let forbids_deletion = all.contains("denyaction");
    let kinds = [TargetKind::Registry, TargetKind::Storage, TargetKind::ContainerRegistry];
    let mut types = kinds.iter().map(|kind| row(*kind).resource_type.to_ascii_lowercase());
    let names_a_target = types.any(|name| words.contains(&name));
    let guards = names_a_target && all.contains("\"deny\"");
    if mode.ends_with(".data") || !(makes_zone_groups || speaks || forbids_deletion || guards) {
        return Meaning::Irrelevant;
    }
    let title = json::text(properties, "/displayName").or_else(|| json::text(definition, "/name"));
    let definition = Definition {
        title: title.unwrap_or("unnamed").to_owned(),
        rule: rule.clone(),
        parameters: properties["parameters"].clone(),
    };
    if makes_zone_groups {
        Meaning::MakesZoneGroups(definition)
    } else if speaks {
        Meaning::Speaks(definition)
    } else if forbids_deletion {
        Meaning::ForbidsDeletion(definition)
    } else {
        Meaning::Guards(definition)
    }
}

const ZONE_GROUPS: &str = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups";

/// What stands against opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Opposition {
    /// Azure refuses the write.
    Refuses,
    /// Azure accepts it and changes it back.
    Undoes,
    /// One of them, perhaps.
    Perhaps,
}

/// What a policy does with a write that its condition holds for. `None`: nothing.
fn consequence(effect: Option<&str>, rule: &Value) -> Option<Opposition> {
    let details = rule["then"]["details"].to_string().to_ascii_lowercase();
    let touches = SETTINGS.iter().any(|word| details.contains(word));
    match effect.map(str::to_ascii_lowercase).as_deref() {
        Some("audit" | "auditifnotexists" | "disabled" | "manual" | "addtonetworkgroup" | "mutate") => None,
        Some("deny") => Some(Opposition::Refuses),
        // It looks at deletions alone.
        Some("denyaction") => None,
        Some("modify" | "append" | "deployifnotexists") if !touches || leaves_open(rule) => None,
        Some("modify" | "append" | "deployifnotexists") => Some(Opposition::Undoes),
        Some(_) | None => Some(Opposition::Perhaps),
    }
}

/// Every setting of ours that a Modify or an Append writes is written open.
fn leaves_open(rule: &Value) -> bool {
    let details = &rule["then"]["details"];
    let writes: Vec<&Value> = match (details.as_array(), details["operations"].as_array()) {
        (Some(fields), _) => fields.iter().collect(),
        (None, Some(operations)) => operations.iter().collect(),
        (None, None) => return false,
    };
    let ours = |write: &&&Value| {
        let field = json::text(write, "/field").unwrap_or_default().to_ascii_lowercase();
        // Which of Azure's own services come in all the same is no part of what is closed and opened.
        let bypass = field.ends_with(".bypass");
        (SETTINGS.iter().any(|word| field.contains(word)) && !bypass) || field.starts_with('[')
    };
    let open = |write: &&Value| {
        let value = json::text(write, "/value").unwrap_or_default();
        ["enabled", "allow"].iter().any(|v| v.eq_ignore_ascii_case(value))
    };
    writes.iter().filter(ours).all(open)
}

/// An assignment with what it assigns.
pub(super) struct Assigned<'a> {
    pub(super) assignment: &'a Value,
    /// `None`: the assignment names the definition itself.
    pub(super) member: Option<(&'a Member, &'a Value)>,
    pub(super) definition: &'a Definition,
}

impl Assigned<'_> {
    /// What it does to the opening of a target.
    pub(super) fn verdict(&self, target: &Target, exemptions: &[Value], now: Timestamp) -> Option<Opposition> {
        let reference = self.member.map_or("", |(member, _)| member.reference.as_str());
        if in_force(self.assignment, target) == Truth::No
            || is_exempt(self.assignment, reference, target, exemptions, now)
        {
            return None;
        }
        let effect = self.effect(reference, target);
        match (
            self.applies(target),
            consequence(effect.as_deref(), &self.definition.rule),
        ) {
            (Truth::No, _) | (_, None) => None,
            (Truth::Yes, verdict) => verdict,
            (Truth::Maybe, Some(_)) => Some(Opposition::Perhaps),
        }
    }

    /// Whether it is certain to refuse every write to a target, of which all properties stand here that were read. Landing zones have
    /// dozens of such policies: what may only be so holds nothing.
    pub(super) fn refuses_every_write(&self, target: &Target, exemptions: &[Value], now: Timestamp) -> bool {
        in_force(self.assignment, target) == Truth::Yes
            && self.verdict(target, exemptions, now) == Some(Opposition::Refuses)
    }

    /// Whether it refuses to have a target deleted. `None`: it does not.
    pub(super) fn forbids_deletion(&self, target: &Target, exemptions: &[Value], now: Timestamp) -> Option<Opposition> {
        let forbids = self.has_effect("denyAction", target, exemptions, now)?;
        match Truth::all([forbids, self.applies(target)].into_iter()) {
            Truth::No => None,
            Truth::Yes => Some(Opposition::Refuses),
            Truth::Maybe => Some(Opposition::Perhaps),
        }
    }

    /// Whether it makes a zone group for an endpoint, which stands here with a connection of each kind: its own first. `None`: it does
    /// not.
    pub(super) fn covers(
        &self,
        (endpoint, of_other_kind): (&Target, &Target),
        exemptions: &[Value],
        now: Timestamp,
    ) -> Option<Coverage> {
        let deploys = self.has_effect("deployIfNotExists", endpoint, exemptions, now)?;
        let holds = |target: &Target| Truth::all([deploys, self.applies(target)].into_iter());
        match (holds(endpoint), holds(of_other_kind)) {
            (Truth::Yes, _) => Some(Coverage::Yes),
            (Truth::Maybe, _) => Some(Coverage::Perhaps),
            (Truth::No, Truth::Yes) => Some(Coverage::OtherKind),
            (Truth::No, Truth::No | Truth::Maybe) => None,
        }
    }

    /// Whether it is in force on a target with this effect. `None`: it is not in force there, or the target is exempt.
    fn has_effect(&self, effect: &str, target: &Target, exemptions: &[Value], now: Timestamp) -> Option<Truth> {
        let reference = self.member.map_or("", |(member, _)| member.reference.as_str());
        let in_force = in_force(self.assignment, target);
        if in_force == Truth::No || is_exempt(self.assignment, reference, target, exemptions, now) {
            return None;
        }
        let has = match self.effect(reference, target) {
            None => Truth::Maybe,
            Some(has) => Truth::from(has.eq_ignore_ascii_case(effect)),
        };
        Some(Truth::all([in_force, has].into_iter()))
    }

    /// Whether the definition's condition holds of a target.
    fn applies(&self, target: &Target) -> Truth {
        let parameters = |name: &str| self.parameter(name);
        rule::holds(&self.definition.rule["if"], &target.then, &parameters)
    }

    /// The zone that the deployment of a zone group is handed.
    pub(super) fn zone(&self) -> Option<ArmId> {
        let handed = self
            .definition
            .rule
            .pointer("/then/details/deployment/properties/parameters")?;
        let parameters = |name: &str| self.parameter(name);
        let zone = |handed: &Value| {
            let id: ArmId = rule::resolve(&handed["value"], &parameters)?.as_str()?.parse().ok()?;
            (id.kind() == "microsoft.network/privatednszones").then_some(id)
        };
        handed.as_object()?.values().find_map(zone)
    }

    /// The effect that is left after parameters and overrides. `None`: not to be told.
    fn effect(&self, reference: &str, target: &Target) -> Option<String> {
        let overrides = json::list(self.assignment, "/properties/overrides");
        let of_effect = overrides
            .iter()
            .filter(|o| json::text(o, "/kind").is_some_and(|k| k.eq_ignore_ascii_case("policyEffect")));
        for change in of_effect {
            match selected(json::list(change, "/selectors"), reference, target) {
                Truth::Yes => return json::string(change, "/value"),
                Truth::Maybe => return None,
                Truth::No => {}
            }
        }
        let parameters = |name: &str| self.parameter(name);
        let resolved = rule::resolve(&self.definition.rule["then"]["effect"], &parameters)?;
        resolved.as_str().map(str::to_owned)
    }

    /// A parameter of the definition: what the initiative hands down or the assignment gives, else its default.
    fn parameter(&self, name: &str) -> Option<Value> {
        let given = |name: &str| value_of(&self.assignment["properties"]["parameters"], name, "value");
        let handed = match self.member {
            None => given(name),
            Some((member, defaults)) => match value_of(&member.handed, name, "value") {
                Some(handed) => {
                    let outer = |name: &str| given(name).or_else(|| value_of(defaults, name, "defaultValue"));
                    return rule::resolve(&handed, &outer);
                }
                None => None,
            },
        };
        handed.or_else(|| value_of(&self.definition.parameters, name, "defaultValue"))
    }
}

fn value_of(parameters: &Value, name: &str, what: &str) -> Option<Value> {
    let (_, parameter) = parameters
        .as_object()?
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(name))?;
    parameter.get(what).cloned()
}

/// Whether an assignment is enforced on a target: its mode, its scope, what it leaves out, and its selectors.
fn in_force(assignment: &Value, target: &Target) -> Truth {
    let mode = json::text(assignment, "/properties/enforcementMode").unwrap_or_default();
    let left_out = json::list(assignment, "/properties/notScopes")
        .iter()
        .filter_map(Value::as_str)
        .any(|scope| covers(scope, &target.id));
    let scope = json::text(assignment, "/properties/scope")
        .or_else(|| scope_of(json::text(assignment, "/id")?))
        .unwrap_or_default();
    let selectors = json::list(assignment, "/properties/resourceSelectors");
    let chosen = selects(selectors, "", target);
    let here = !mode.eq_ignore_ascii_case("DoNotEnforce") && !left_out && covers(scope, &target.id);
    Truth::all([Truth::from(here), chosen].into_iter())
}

/// Whether one of several resource selectors holds. None at all: for every resource.
fn selects(selectors: &[Value], reference: &str, target: &Target) -> Truth {
    if selectors.is_empty() {
        return Truth::Yes;
    }
    Truth::any(
        selectors
            .iter()
            .map(|s| selected(json::list(s, "/selectors"), reference, target)),
    )
}

/// Whether all parts of one selector hold.
fn selected(parts: &[Value], reference: &str, target: &Target) -> Truth {
    Truth::all(parts.iter().map(|part| {
        let value = match json::text(part, "/kind")
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "policydefinitionreferenceid" => Some(reference.to_owned()),
            "resourcetype" => Some(target.then.kind.clone()),
            "resourcelocation" => target.then.location.clone(),
            _ => None,
        };
        let Some(value) = value else { return Truth::Maybe };
        let squeezed = |text: &str| text.replace(' ', "").to_ascii_lowercase();
        let named = |list: &str| {
            let items = part.get(list)?.as_array()?;
            Some(
                items
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|i| squeezed(i) == squeezed(&value)),
            )
        };
        match (named("in"), named("notIn")) {
            (Some(inside), _) => Truth::from(inside),
            (None, Some(outside)) => Truth::from(!outside),
            (None, None) => Truth::Maybe,
        }
    }))
}

/// Whether an exemption that has not expired frees a target from a policy.
fn is_exempt(assignment: &Value, reference: &str, target: &Target, exemptions: &[Value], now: Timestamp) -> bool {
    let id = json::text(assignment, "/id").unwrap_or_default();
    exemptions.iter().any(|exemption| {
        let text = |name: &str| json::text(exemption, &format!("/properties/{name}"));
        let category = text("exemptionCategory").unwrap_or_default();
        let known = ["waiver", "mitigated"].iter().any(|c| c.eq_ignore_ascii_case(category));
        let of_this = text("policyAssignmentId").is_some_and(|a| a.eq_ignore_ascii_case(id));
        let references = json::list(exemption, "/properties/policyDefinitionReferenceIds");
        let of_member = references.is_empty()
            || references
                .iter()
                .filter_map(Value::as_str)
                .any(|r| r.eq_ignore_ascii_case(reference));
        let in_time = match exemption["properties"].get("expiresOn") {
            None | Some(Value::Null) => true,
            Some(at) => at
                .as_str()
                .and_then(|at| at.parse::<Timestamp>().ok())
                .is_some_and(|at| now < at),
        };
        let here = json::text(exemption, "/id")
            .and_then(scope_of)
            .is_some_and(|s| covers(s, &target.id));
        let chosen = selects(
            json::list(exemption, "/properties/resourceSelectors"),
            reference,
            target,
        );
        known && of_this && of_member && in_time && here && chosen == Truth::Yes
    })
}

/// What an assignment or an exemption is made on: what stands before its last `/providers/`.
fn scope_of(id: &str) -> Option<&str> {
    let at = id.to_ascii_lowercase().rfind("/providers/microsoft.authorization/")?;
    id.get(..at)
}

/// Whether a scope holds a resource. A management group whose assignment Azure lists for us holds it.
fn covers(scope: &str, id: &ArmId) -> bool {
    let scope = scope.trim_end_matches('/').to_ascii_lowercase();
    let below = || {
        id.key()
            .strip_prefix(scope.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    scope.starts_with("/providers/microsoft.management/managementgroups/") || below()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
