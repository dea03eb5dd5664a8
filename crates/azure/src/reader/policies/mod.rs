//! Policies that forbid or undo the opening of what a lock closes (azure.md §8.1), and those that make zone groups (§4.2). First
//! whether we may look: to whoever may not read assignments Azure answers an empty list, not a refusal. Then assignments, what they
//! assign, and exemptions.

mod judge;
mod rule;
mod zone_groups;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use sreg_api::names::ZONE_GROUP;
use sreg_domain::outside::word;
use sreg_domain::rights::Permissions;
use sreg_domain::seen::{Fact, Ignorance, IgnoranceKind, Obstacle, ObstacleKind, RegionSeen, TargetSeen, Targets};
use sreg_domain::target::{kind_of, row};
use sreg_domain::{ArmId, CallFailure, Cause, Location, TargetKind, rights};

use self::judge::{Assigned, Definition, Meaning, Opposition, meaning_of};
use self::rule::Subject;
use super::Look;
use super::remembered::Remembered;
use crate::arm::{Call, Class, Leaving};
use crate::json;

pub(super) use judge::Target;
pub(super) use zone_groups::zone_groups;

/// Definitions read in one visit. The rest is read by the next ones; until then the answer is `Unknown`.
const DEFINITIONS_PER_VISIT: usize = 48;
/// How long a definition is believed: it changes far more rarely than assignments do.
const DEFINITION_AGE: Duration = Duration::from_secs(3600);

/// What policy definitions mean, by lower-cased id.
pub(crate) type Definitions = Remembered<String, Meaning>;

/// Nothing is known yet.
pub(crate) fn unread() -> Definitions {
    Remembered::for_so_long(DEFINITION_AGE)
}

/// Everything that is assigned at some scopes, and what of it means anything to us.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    /// By lower-cased id.
    assigned: BTreeMap<String, Value>,
    meanings: BTreeMap<String, Meaning>,
    exemptions: Vec<Value>,
    /// All exemptions could be listed.
    exemptions_known: bool,
}

/// Reads what is assigned at the scopes, and above them; `first` is what people are told of.
pub(super) async fn assigned(look: &Look<'_>, first: &ArmId, more: &BTreeSet<ArmId>) -> Fact<Assignments> {
    let scopes: BTreeSet<&ArmId> = std::iter::once(first).chain(more).collect();
    if let Some(why) = blind(look, &scopes).await {
        return Fact::Unknown(why);
    }
    match read(look, first, &scopes).await {
        Ok(assignments) => Fact::Seen(assignments),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

/// Why we would not see what is assigned, if so. Asked at the scopes themselves and at the subscriptions above them.
async fn blind(look: &Look<'_>, scopes: &BTreeSet<&ArmId>) -> Option<Ignorance> {
    let above: BTreeSet<ArmId> = scopes.iter().map(|scope| scope.subscription_id()).collect();
    let asked: BTreeSet<&ArmId> = scopes.iter().copied().chain(&above).collect();
    let may_look = |permissions: &Permissions| permissions.allow(rights::READ_POLICY_ASSIGNMENTS);
    let answers = join_all(
        asked
            .into_iter()
            .map(|scope| async move { (scope, look.permissions(scope, may_look).await) }),
    );
    let mut blind = Vec::new();
    for (scope, answer) in answers.await {
        match answer {
            Fact::Seen(permissions) if may_look(&permissions) => {}
            Fact::Seen(_) | Fact::Absent => blind.push(scope),
            Fact::Unknown(why) => return Some(why),
        }
    }
    // What is granted on the subscription holds below it.
    let scope = blind.iter().min_by_key(|scope| scope.key().len())?;
    Some(Ignorance {
        attempt: format!("list the policy assignments of {scope}"),
        kind: IgnoranceKind::Forbidden,
        message: super::rights::blind(scope, rights::READ_POLICY_ASSIGNMENTS),
        code: None,
        correlation_id: None,
        retry_after: None,
    })
}

async fn read(look: &Look<'_>, registry: &ArmId, scopes: &BTreeSet<&ArmId>) -> Result<Assignments, CallFailure> {
    let list = |scope: &ArmId, what: &str| {
        let below = format!("providers/Microsoft.Authorization/{what}");
        look.list(Call::list(look.arm(), scope, &below))
    };
    let mut assigned: BTreeMap<String, Value> = BTreeMap::new();
    for listing in join_all(scopes.iter().map(|scope| list(scope, "policyAssignments"))).await {
        let items = listing?.into_iter();
        assigned.extend(items.map(|a| (a["id"].to_string().to_ascii_lowercase(), a)));
    }
    let mut first = BTreeSet::new();
    for assignment in assigned.values() {
        first.insert(definition_of(assignment).ok_or_else(|| not_understood(registry, assignment))?);
    }
    let mut meanings = definitions(look, registry, first).await?;
    let mut members = BTreeSet::new();
    for meaning in meanings.values() {
        if let Meaning::Set(all, _) = meaning {
            for member in all {
                members.insert(
                    member
                        .definition
                        .clone()
                        .ok_or_else(|| not_understood(registry, &Value::Null))?,
                );
            }
        }
    }
    meanings.extend(definitions(look, registry, members).await?);
    let concerns = |m: &Meaning| !matches!(m, Meaning::Irrelevant | Meaning::Set(..));
    let mut exemptions = Vec::new();
    let mut exemptions_known = true;
    if meanings.values().any(concerns) {
        // Without them whatever forbids counts, and whatever helps does not.
        let listed = join_all(scopes.iter().map(|scope| list(scope, "policyExemptions"))).await;
        exemptions_known = listed.iter().all(Result::is_ok);
        exemptions.extend(listed.into_iter().flatten().flatten());
    }
    Ok(Assignments {
        assigned,
        meanings,
        exemptions,
        exemptions_known,
    })
}

fn not_understood(registry: &ArmId, assignment: &Value) -> CallFailure {
    let name = json::text(assignment, "/name").unwrap_or("of an initiative");
    let message = format!("the definition that policy assignment {name} names has an id that is none");
    CallFailure::local(format!("read the policies on {registry}"), Cause::Nonsense, message)
}

async fn definitions(
    look: &Look<'_>,
    registry: &ArmId,
    ids: BTreeSet<String>,
) -> Result<BTreeMap<String, Meaning>, CallFailure> {
    let cache = &look.inner.policies;
    let mut known: BTreeMap<String, Meaning> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), cache.get(id.as_str())?)))
        .collect();
    let missing: Vec<&String> = ids.iter().filter(|id| !known.contains_key(*id)).collect();
    let postponed = missing.len().saturating_sub(DEFINITIONS_PER_VISIT);
    let read = join_all(
        missing
            .into_iter()
            .take(DEFINITIONS_PER_VISIT)
            .map(|id| async move { (id.clone(), definition(look, registry, id).await) }),
    );
    for (id, result) in read.await {
        let meaning = result?;
        cache.put(id.clone(), meaning.clone());
        known.insert(id, meaning);
    }
    if postponed > 0 {
        let message = format!("{postponed} more policy definitions are read by the next visits");
        let attempt = format!("read the policies on {registry}");
        return Err(CallFailure::local(attempt, Cause::Conflict, message));
    }
    Ok(known)
}

/// One definition. An assignment cannot outlive what it assigns: one that is said not to exist is not known.
async fn definition(look: &Look<'_>, registry: &ArmId, id: &str) -> Result<Meaning, CallFailure> {
    let arm = look.arm();
    let kind = match id.contains("/policysetdefinitions/") {
        true => "Microsoft.Authorization/policySetDefinitions",
        false => "Microsoft.Authorization/policyDefinitions",
    };
    let call = Call::at(
        arm,
        (id, kind),
        &format!("read {id}"),
        (registry.subscription(), Class::Read),
        &format!("{kind}/read"),
    );
    Ok(meaning_of(&look.send(call, arm.scope()).await?.object()?))
}

/// The lower-cased id of an assignment's definition, if it is fit for a path.
fn definition_of(assignment: &Value) -> Option<String> {
    path(json::text(assignment, "/properties/policyDefinitionId")?)
}

/// A provider path outside a resource group, such as `/providers/microsoft.authorization/policydefinitions/x`. Names may have
/// letters of any alphabet.
fn path(id: &str) -> Option<String> {
    let legal = |s: &str| {
        let fit = |c: char| !c.is_control() && !"<>*%&:\\?/#".contains(c);
        !s.is_empty() && s != "." && s != ".." && s.chars().all(fit)
    };
    let lower = id.to_ascii_lowercase();
    let rest = lower.strip_prefix('/')?;
    let fit = rest.len() < 1024 && rest.split('/').all(legal) && rest.contains("microsoft.authorization/policy");
    fit.then_some(lower)
}

/// What will have to be opened again: the registry, and what Azure made behind it.
pub(super) fn targets(targets: &Targets) -> Vec<Target> {
    let registry = targets.registry_details();
    let location = |id: &ArmId, kind: TargetKind| {
        let registry = registry?;
        let here = |region: &&RegionSeen| region.of(kind).iter().flatten().any(|named| named == id);
        match kind {
            TargetKind::Registry => Some(registry.location.to_string()),
            TargetKind::Storage => registry.regions.iter().find(here).map(|r| r.location.to_string()),
            // One of them serves all regions.
            TargetKind::ContainerRegistry => None,
        }
    };
    let target = |(id, fact): (&ArmId, &Fact<TargetSeen>)| {
        let kind = kind_of(id)?;
        let seen = fact.seen();
        let id = seen
            .filter(|_| kind == TargetKind::Registry)
            .map_or(id, |seen| &seen.id);
        Some(Target {
            id: id.clone(),
            then: Subject {
                kind: id.kind(),
                name: id.name().to_owned(),
                location: location(id, kind),
                properties: opened(seen.map(|seen| &seen.network), row(kind).rule_set),
            },
        })
    };
    targets.iter().filter_map(target).collect()
}

/// The network settings that opening will write: what is there now if it is open, else wide open.
fn opened(network: Option<&Value>, rule_set: Option<&str>) -> Value {
    let mut settings = json!({"publicNetworkAccess": "Enabled"});
    let Some(name) = rule_set else { return settings };
    let is = |pointer: &str, value: &str| {
        let there = network.and_then(|n| json::text(n, pointer));
        there.is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    let closed = is("/publicNetworkAccess", "Disabled") || is("/publicNetworkAccess", "SecuredByPerimeter");
    let rules = network.map(|n| n[name].clone()).filter(|r| !closed && r.is_object());
    settings[name] = rules.unwrap_or_else(|| json!({"defaultAction": "Allow"}));
    settings
}

/// The same targets with all properties that were read of them, the settings of the opening put over those: Azure judges what a
/// resource will be as a whole, whichever property a write carries.
pub(super) fn whole(targets: &[Target], read: &BTreeMap<ArmId, Value>) -> Vec<Target> {
    let whole = |target: &Target| {
        let mut whole = target.clone();
        let mut properties = read.get(&target.id)?.as_object()?.clone();
        properties.extend(target.then.properties.as_object().into_iter().flatten().map(owned));
        whole.then.properties = Value::Object(properties);
        Some(whole)
    };
    targets.iter().filter_map(whole).collect()
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// What forbids or undoes the opening of these targets, and what refuses every write to them ([`whole`]), each with what to do about
/// it.
pub(super) fn against(
    assignments: &Assignments,
    targets: &[Target],
    whole: &[Target],
    now: Timestamp,
) -> Vec<Obstacle> {
    let mut obstacles = hits(assignments, targets, now, "opening");
    // Without all exemptions nothing is certain.
    let assigned = assignments.assigned.values().filter(|_| assignments.exemptions_known);
    for policy in assigned.flat_map(|assignment| policies(assignment, &assignments.meanings, guards)) {
        let refused = |target: &&Target| policy.refuses_every_write(target, &assignments.exemptions, now);
        let ids: Vec<&ArmId> = whole.iter().filter(refused).map(|target| &target.id).collect();
        if !ids.is_empty() {
            obstacles.push(obstacle(&policy, Opposition::Refuses, &ids, "every write to"));
        }
    }
    obstacles.sort();
    obstacles.dedup();
    obstacles
}

/// What forbids or undoes the form in which an account with resource rules is closed, by account: it stays `Enabled` with
/// `defaultAction: Deny`, because `Disabled` would stop these rules (azure.md §1.7). All others are closed as `Disabled`.
pub(super) fn against_closing(
    assignments: &Assignments,
    targets: &[Target],
    now: Timestamp,
) -> BTreeMap<ArmId, Vec<Obstacle>> {
    let forms = targets.iter().filter_map(closed_with_rules);
    let judged = forms.map(|form| (form.id.clone(), hits(assignments, &[form], now, "closing")));
    judged.filter(|(_, hits)| !hits.is_empty()).collect()
}

fn closed_with_rules(target: &Target) -> Option<Target> {
    const RULES: &str = "/networkAcls/resourceAccessRules";
    let rules = json::list(&target.then.properties, RULES);
    (!rules.is_empty()).then(|| {
        let mut form = target.clone();
        let acls = &mut form.then.properties["networkAcls"];
        acls["defaultAction"] = json!("Deny");
        acls["ipRules"] = json!([]);
        acls["virtualNetworkRules"] = json!([]);
        form
    })
}

/// What forbids deleting endpoints or their zone groups, which go together or not at all.
pub(super) async fn against_removal(
    look: &Look<'_>,
    endpoints: Vec<(ArmId, Location)>,
) -> BTreeMap<ArmId, Fact<Vec<Obstacle>>> {
    let groups: BTreeSet<ArmId> = endpoints.iter().filter_map(|(id, _)| id.resource_group_id()).collect();
    let read = groups.into_iter().map(|group| async move {
        let assigned = assigned(look, &group, &BTreeSet::new()).await;
        (group, assigned)
    });
    let read: BTreeMap<ArmId, Fact<Assignments>> = join_all(read).await.into_iter().collect();
    let now = Timestamp::now();
    let judged = endpoints.into_iter().filter_map(|(id, location)| {
        let fact = match read.get(&id.resource_group_id()?)? {
            Fact::Seen(all) => Fact::Seen(keeping(all, &id, &location, now)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        };
        Some((id, fact))
    });
    judged.collect()
}

/// What is told of that removal.
const DELETING: &str = "deleting";

/// The policies that keep an endpoint or its zone group.
fn keeping(assignments: &Assignments, endpoint: &ArmId, location: &Location, now: Timestamp) -> Vec<Obstacle> {
    let zone_group = endpoint.child("privateDnsZoneGroups", ZONE_GROUP);
    let parts = [endpoint, &zone_group].map(|id| Target {
        id: id.clone(),
        then: Subject {
            kind: id.kind(),
            name: id.name().to_owned(),
            location: Some(location.to_string()),
            // Nothing of it is known to such a policy but what it is and where.
            properties: Value::Null,
        },
    });
    let mut obstacles = Vec::new();
    for assignment in assignments.assigned.values() {
        for policy in policies(assignment, &assignments.meanings, |meaning| match meaning {
            Meaning::ForbidsDeletion(definition) => Some(definition),
            // It does both where it names a field by an expression, such as a tag that a parameter names.
            Meaning::Speaks(definition) => Some(definition).filter(|definition| definition.may_forbid_deletion()),
            Meaning::Irrelevant | Meaning::Guards(_) | Meaning::MakesZoneGroups(_) | Meaning::Set(..) => None,
        }) {
            let verdicts = parts
                .iter()
                .filter_map(|part| Some((policy.forbids_deletion(part, &assignments.exemptions, now)?, &part.id)));
            if let Some((verdict, id)) = verdicts.min() {
                obstacles.push(obstacle(&policy, verdict, &[id], DELETING));
            }
        }
    }
    obstacles.sort();
    obstacles.dedup();
    obstacles
}

/// What stands against a write to targets, which are as they will be after it.
fn hits(assignments: &Assignments, targets: &[Target], now: Timestamp, write: &str) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    for assignment in assignments.assigned.values() {
        for policy in policies(assignment, &assignments.meanings, speaks) {
            let mut hit: Vec<(Opposition, &ArmId)> = targets
                .iter()
                .filter_map(|t| Some((policy.verdict(t, &assignments.exemptions, now)?, &t.id)))
                .collect();
            hit.sort();
            if let Some(worst) = hit.first().map(|(verdict, _)| *verdict) {
                let ids: Vec<&ArmId> = hit.iter().map(|(_, id)| *id).collect();
                obstacles.push(obstacle(&policy, worst, &ids, write));
            }
        }
    }
    obstacles.sort();
    obstacles.dedup();
    obstacles
}

/// A definition that speaks of public network access.
fn speaks(meaning: &Meaning) -> Option<&Definition> {
    match meaning {
        Meaning::Speaks(definition) => Some(definition),
        Meaning::Irrelevant
        | Meaning::Guards(_)
        | Meaning::MakesZoneGroups(_)
        | Meaning::ForbidsDeletion(_)
        | Meaning::Set(..) => None,
    }
}

/// A definition that may deny writes to a target for another property.
fn guards(meaning: &Meaning) -> Option<&Definition> {
    match meaning {
        Meaning::Guards(definition) => Some(definition),
        Meaning::Irrelevant
        | Meaning::Speaks(_)
        | Meaning::MakesZoneGroups(_)
        | Meaning::ForbidsDeletion(_)
        | Meaning::Set(..) => None,
    }
}

/// The policies of an assignment that are of one sort.
fn policies<'a>(
    assignment: &'a Value,
    meanings: &'a BTreeMap<String, Meaning>,
    sort: impl Fn(&'a Meaning) -> Option<&'a Definition>,
) -> Vec<Assigned<'a>> {
    let Some(id) = definition_of(assignment) else {
        return Vec::new();
    };
    match meanings.get(&id) {
        Some(Meaning::Set(members, defaults)) => members
            .iter()
            .filter_map(|member| {
                Some(Assigned {
                    assignment,
                    member: Some((member, defaults)),
                    definition: sort(meanings.get(member.definition.as_ref()?)?)?,
                })
            })
            .collect(),
        Some(meaning) => sort(meaning)
            .map(|definition| Assigned {
                assignment,
                member: None,
                definition,
            })
            .into_iter()
            .collect(),
        None => Vec::new(),
    }
}

fn obstacle(policy: &Assigned<'_>, verdict: Opposition, ids: &[&ArmId], write: &str) -> Obstacle {
    // Where Azure does not say which it is, whoever owns it has to.
    let id = json::text(policy.assignment, "/id").filter(|id| !id.is_empty());
    let id = id.map_or_else(|| "ASSIGNMENT".to_owned(), str::to_ascii_lowercase);
    let name = json::text(policy.assignment, "/properties/displayName")
        .or_else(|| json::text(policy.assignment, "/name"))
        .unwrap_or("unnamed");
    let (verdict, does) = match verdict {
        Opposition::Refuses => ("refuses", format!("denies {write}")),
        Opposition::Undoes => ("undoes", format!("undoes the {write} of")),
        // Nothing undoes a deletion.
        Opposition::Perhaps if write == DELETING => ("perhaps", format!("may deny {write}")),
        Opposition::Perhaps => ("perhaps", format!("may deny or undo the {write} of")),
    };
    // Azure may spell ids in another case next time, and list them in another order.
    let keys: BTreeSet<&str> = ids.iter().map(|id| id.key()).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let key = format!(
        "policy {id} {verdict} by {:?}: {}",
        policy.definition.title,
        keys.join(" ")
    );
    let names: Vec<String> = ids.iter().map(|id| id.name().to_ascii_lowercase()).collect();
    let commands: Vec<String> = ids
        .iter()
        .map(|scope| {
            format!(
                "az policy exemption create --name secure-registry --exemption-category Waiver --policy-assignment {} --scope {}",
                word(&id),
                word(scope.key())
            )
        })
        .collect();
    let message = format!(
        "policy assignment {name:?} {does} {} by {:?}; to exempt: {}",
        names.join(", "),
        policy.definition.title,
        commands.join("; ")
    );
    Obstacle {
        kind: ObstacleKind::PolicyAssignment,
        key,
        message,
    }
}
