//! What somebody can do about a refusal of Azure's: one row for each class of codes, with who must act and the command for it, its ids
//! filled in. A command that is right for one code is wrong for another: no right helps where a lock, a policy or a disabled
//! subscription stands in the way. Where Azure names what is needed in its message, it is taken from there. Pure.

use sreg_domain::outside::{without_brackets_around, word};
use sreg_domain::seen::{Ignorance, IgnoranceKind};
use sreg_domain::{CallFailure, Disposition, StepId, StepKind, TargetKind, rights, target};

use crate::plan::WaitReason;

/// A class of refusals.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Azure's codes, or beginnings of codes where a star stands at the end.
    pub codes: &'static [&'static str],
    /// Whether what Azure says, and what it says it of, fit, where one code is said of several things.
    fits: fn(Refusal<'_>) -> bool,
    /// What a wait for it is.
    pub reason: WaitReason,
    /// What to do, by whom. `{name}`s are filled in by [`advise`].
    pub advice: &'static str,
}

/// Every class that we know, the more special first.
pub static ROWS: &[Row] = &[
    Row {
        codes: &["DenyAssignmentAuthorizationFailed"],
        fits: names_a_stack,
        reason: WaitReason::DenyAssignmentStalled,
        advice: "no right helps against a deployment stack's deny settings; whoever owns the stack (az resource show --ids {stack}) deploys it again with --deny-settings-excluded-principals {principal}",
    },
    Row {
        codes: &["DenyAssignmentAuthorizationFailed"],
        fits: anything,
        reason: WaitReason::DenyAssignmentStalled,
        advice: "no right helps against a deny assignment: on the registry's managed resource group set spec.registry.managedResourceGroupAccess: GrantOperator, or list principal {principal} in managedResourceGroupSettings.assignedIdentities; elsewhere whoever made it exempts that principal; see who that is: az rest --method get --url \"{denial}?api-version=2022-04-01\"",
    },
    Row {
        codes: &["LinkedAuthorizationFailed"],
        fits: is_blocked_by_denials,
        reason: WaitReason::DenyAssignmentStalled,
        advice: "no right helps against a deny assignment on {blocked}: where that is in the registry's managed resource group set spec.registry.managedResourceGroupAccess: GrantOperator, or list principal {principal} in managedResourceGroupSettings.assignedIdentities; elsewhere whoever made it exempts that principal; see who that is: az rest --method get --url \"{blocked}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01\"",
    },
    Row {
        codes: &["LinkedAuthorizationFailed"],
        fits: is_of_another_tenant,
        reason: WaitReason::RefusedStalled,
        advice: "no role in the operator's own tenant {tenant} helps: subscription {linked} belongs to another one; set spec.endpoints[].approval.mode: Manual and have its owner approve, or run the operator as a principal of both tenants (see which one has it: az account show --subscription {linked} --query tenantId)",
    },
    Row {
        codes: &["AuthorizationFailed", "LinkedAuthorizationFailed"],
        fits: anything,
        reason: WaitReason::PermissionStalled,
        advice: "grant the operator's identity that right: az role assignment create --assignee-object-id {principal} --assignee-principal-type ServicePrincipal --role \"{role}\" --scope {scope}",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: judges_a_registry_by_tags,
        reason: WaitReason::RefusedStalled,
        advice: "it is about the registry's tags: set what the policy demands under spec.registry.tags",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: judges_an_account_by_tags,
        reason: WaitReason::RefusedStalled,
        advice: "it is about the account's own tags, which the operator does not write: whoever owns the account gives it what the policy demands: az tag update --resource-id {resource} --operation Merge --tags NAME=VALUE",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: judges_by_tags,
        reason: WaitReason::RefusedStalled,
        advice: "it is about tags: set what the policy demands under spec.tags, or spec.endpoints[].tags",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: forbids_a_zone,
        reason: WaitReason::RefusedStalled,
        advice: "where zones are kept centrally, name them: spec.endpoints[].dns.mode: Existing with their ids under privateDnsZoneResourceIds, or mode: Policy where a policy writes the records; else whoever owns the policy exempts this zone",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: judges_by_names,
        reason: WaitReason::RefusedStalled,
        advice: "it is about names: set spec.endpoints[].nameTemplate, such as pe-{registry}-{group}-{hash}",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "no right helps against a policy; whoever owns it exempts this: az policy exemption create --name secure-registry --exemption-category Waiver --policy-assignment {assignment} --scope {governed}",
    },
    Row {
        codes: &["ScopeLocked"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "no right helps against a lock on {locked}; whoever set it removes it: az rest --method get --url \"{locked}/providers/Microsoft.Authorization/locks?api-version=2016-09-01\" --query \"value[].id\", then az lock delete --ids LOCK",
    },
    Row {
        codes: &[
            "ReadOnlyDisabledSubscription",
            "SubscriptionDisabled",
            "DisabledSubscription",
        ],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "the subscription is disabled, and no right helps: whoever pays for it enables it again; see az account show --subscription {subscription} --query state",
    },
    Row {
        codes: &["RequestDisallowedByAzure"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "Azure itself disallows this for the subscription, and no right or exemption helps: ask Microsoft's support, with the correlation id",
    },
    Row {
        codes: &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "register the provider: az provider register --namespace {provider} --subscription {subscription}",
    },
    Row {
        codes: &["SubscriptionNotFound", "InvalidSubscriptionId"],
        fits: anything,
        reason: WaitReason::ScopeAbsentStalled,
        advice: "correct the subscription in the spec; one in which the operator's identity has no role is not found either: az role assignment list --all --subscription {subscription} --assignee OBJECT_ID",
    },
    Row {
        codes: &["ResourceGroupNotFound"],
        fits: anything,
        reason: WaitReason::ScopeAbsentStalled,
        advice: "correct the id in the spec, or create what is missing: az group create --name {resource group} --location LOCATION --subscription {subscription}; a subscription in which the operator's identity has no role is not found either: az role assignment list --all --subscription {subscription} --assignee OBJECT_ID",
    },
    Row {
        codes: &["InvalidAuthenticationTokenTenant"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "correct the subscription in the spec, or the tenant of the operator (AZURE_TENANT_ID): az account show --subscription {subscription} --query tenantId",
    },
    Row {
        codes: &[
            "InvalidAuthenticationToken*",
            "ExpiredAuthenticationToken",
            "AuthenticationFailed*",
        ],
        fits: anything,
        reason: WaitReason::SignInStalled,
        advice: "Azure does not take the operator's token, and no role helps: look at its tenant, its cloud, and the clock of its node: kubectl get deployment -A -l app.kubernetes.io/name=secure-registry-operator -o yaml",
    },
    Row {
        codes: &[
            "InvalidResourceType",
            "InvalidResourceNamespace",
            "NoRegisteredProviderFound",
        ],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "this cloud or region does not offer that: compare spec.registry.create and the operator's cloud with az provider show --namespace {provider} --subscription {subscription} --query resourceTypes",
    },
    Row {
        codes: &["DisablingPublicNetworkAccessNotSupported"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "only a Premium container registry can be closed; whoever owns it raises it: az resource update --ids {resource} --set sku.name=Premium",
    },
    Row {
        codes: &["PrivateEndpointCannotBeCreatedInSubnet*"],
        fits: anything,
        reason: WaitReason::EndpointFailedStalled,
        advice: "let the subnet hold private endpoints: az network vnet subnet update --ids {subnet} --private-endpoint-network-policies Disabled",
    },
    Row {
        codes: &["*Quota*", "*LimitReached", "*LimitExceeded", "*CountLimit*"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "a limit of the subscription is reached: delete what is not needed, or ask for more; see az network private-endpoint list --subscription {subscription} --query \"length(@)\"",
    },
    Row {
        codes: &["NetworkSecurityPerimeter*"],
        fits: anything,
        reason: WaitReason::RefusedStalled,
        advice: "a network security perimeter governs {resource}: whoever owns the perimeter takes it out, or opens the perimeter; see which: az rest --method get --url \"{resource}/networkSecurityPerimeterConfigurations?api-version=2024-01-01\"",
    },
];

fn anything(_: Refusal<'_>) -> bool {
    true
}

fn names_a_stack(refusal: Refusal<'_>) -> bool {
    refusal.message.contains("Deployment Stack '/")
}

/// What stands elsewhere and is referred to, such as a subnet, is denied under the code of missing rights.
fn is_blocked_by_denials(refusal: Refusal<'_>) -> bool {
    refusal.message.contains(BLOCKED)
}

const BLOCKED: &str = "blocked by deny assignments on";

/// Before the scopes that hold the lock, which may be any above or beside the resource.
const LOCKED: &str = "are locked:";

fn is_of_another_tenant(refusal: Refusal<'_>) -> bool {
    refusal
        .message
        .contains("is not authorized to access linked subscription")
}

/// What a policy judges by, where the operator's client has said that at the end of Azure's message.
fn judged_by(message: &str) -> &str {
    message.rsplit_once("denied by policy").map_or("", |(_, by)| by)
}

fn judges_by_tags(refusal: Refusal<'_>) -> bool {
    judged_by(refusal.message).to_lowercase().contains("tags[")
}

/// What is given to everything that is made reaches no registry that is there already.
fn judges_a_registry_by_tags(refusal: Refusal<'_>) -> bool {
    judges_by_tags(refusal) && refusal.target() == Some(TargetKind::Registry) && !refusal.creates()
}

fn judges_an_account_by_tags(refusal: Refusal<'_>) -> bool {
    let accounts = [TargetKind::Storage, TargetKind::ContainerRegistry];
    judges_by_tags(refusal) && refusal.target().is_some_and(|kind| accounts.contains(&kind))
}

fn judges_by_names(refusal: Refusal<'_>) -> bool {
    judged_by(refusal.message).contains(" by name")
}

/// Zones that a policy forbids are usually kept in one place, and neither a name nor an exemption would be the right thing to ask for.
fn forbids_a_zone(refusal: Refusal<'_>) -> bool {
    refusal.step == Some(StepKind::CreateZone)
}

/// The class of a refusal, by its code and what came with it.
fn row(refusal: Refusal<'_>) -> Option<&'static Row> {
    let code = refusal.code.unwrap_or_default().to_ascii_lowercase();
    let is = |pattern: &&str| {
        let pattern = pattern.to_ascii_lowercase();
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(_), Some(_)) => code.contains(pattern.trim_matches('*')),
            (Some(end), None) => code.ends_with(end),
            (None, Some(start)) => code.starts_with(start),
            (None, None) => code == pattern,
        }
    };
    ROWS.iter().find(|row| row.codes.iter().any(is) && (row.fits)(refusal))
}

/// Whether a code says that a subscription or resource group does not exist, or not for us.
pub(crate) fn is_scope_absent(code: Option<&str>) -> bool {
    row(Refusal::of_code(code)).is_some_and(|row| row.reason == WaitReason::ScopeAbsentStalled)
}

/// Where nothing is known of a code: Azure keeps why it refused something, and who may have forbidden it.
const ANY_OTHER: Row = Row {
    codes: &["*"],
    fits: anything,
    reason: WaitReason::RefusedStalled,
    advice: "put that right in Azure or in the spec; what Azure keeps of it: az monitor activity-log list --resource-id {resource} --offset 1h",
};

/// What Azure refused: a write, or a look.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    attempt: &'a str,
    code: Option<&'a str>,
    message: &'a str,
    forbidden: bool,
    /// The kind of step, where it was one.
    step: Option<StepKind>,
}

impl<'a> Refusal<'a> {
    /// Of which nothing but the code is known.
    fn of_code(code: Option<&'a str>) -> Refusal<'a> {
        Refusal {
            attempt: "",
            code,
            message: "",
            forbidden: false,
            step: None,
        }
    }

    /// Which kind of target it is about, if it is about one.
    fn target(&self) -> Option<TargetKind> {
        target::kind_of(&ids(self.attempt).next()?.parse().ok()?)
    }

    /// It was about something that did not exist yet.
    fn creates(&self) -> bool {
        self.step.is_some_and(StepKind::creates)
    }

    /// Of a step.
    pub(crate) fn of_step(step: &StepId, failure: &'a CallFailure) -> Refusal<'a> {
        Refusal {
            step: Some(step.kind),
            ..failure.into()
        }
    }
}

impl<'a> From<&'a CallFailure> for Refusal<'a> {
    fn from(failure: &'a CallFailure) -> Self {
        Refusal {
            attempt: &failure.attempt,
            code: failure.code.as_deref(),
            message: &failure.message,
            forbidden: failure.disposition() == Disposition::Forbidden,
            step: None,
        }
    }
}

impl<'a> From<&'a Ignorance> for Refusal<'a> {
    fn from(why: &'a Ignorance) -> Self {
        Refusal {
            attempt: &why.attempt,
            code: why.code.as_deref(),
            message: &why.message,
            forbidden: why.kind == IgnoranceKind::Forbidden,
            step: None,
        }
    }
}

/// What can be done about a refusal, and what a wait for it is.
pub(crate) fn advise<'a>(refusal: impl Into<Refusal<'a>>) -> (WaitReason, String) {
    let refusal = refusal.into();
    let right = || row(Refusal::of_code(Some("AuthorizationFailed"))).filter(|_| refusal.forbidden);
    let row = row(refusal).or_else(right).unwrap_or(&ANY_OTHER);
    (row.reason, fill(row.advice, refusal))
}

/// Puts in what Azure's message and the attempt name. What they do not name stays as something to fill in.
fn fill(advice: &str, refusal: Refusal<'_>) -> String {
    let resource = ids(refusal.attempt).next().unwrap_or("RESOURCE_ID");
    let message = refusal.message;
    // Where two actions are named, the second is the one that is missing.
    let missing = message.split_once("however").map_or(message, |(_, missing)| missing);
    let action = quoted_after(missing, "action '").unwrap_or_default();
    let scope = quoted_after(message, "linked scope(s) '")
        .or_else(|| quoted_after(message, "over scope '"))
        .unwrap_or(resource);
    // Of several, each has to be granted; the next refusal names the next.
    let scope = ids(scope).next().unwrap_or(scope);
    let part = |after: &str| {
        let lower = resource.to_ascii_lowercase();
        let from = lower.find(after)? + after.len();
        resource.get(from..)?.split('/').next()
    };
    // What Azure names may be the target's, where the attempt names the endpoint only.
    let named = |before: &str| quoted_after(message, before).filter(|name| !name.contains(['/', ' ']));
    let holds = |r: &&rights::Right| {
        let (known, asked) = (r.action.to_ascii_lowercase(), action.to_ascii_lowercase());
        !asked.is_empty() && known.ends_with(&asked)
    };
    // Some actions stand in several roles, whatever kind of resource they are asked of.
    let of_place = |place: &rights::Place| rights::of(*place).find(holds);
    let role = groups_of_places(scope).iter().find_map(of_place);
    let role = role.or_else(|| rights::RIGHTS.iter().filter(holds).find(|r| is_for(r.place, scope)));
    let role = role.or_else(|| rights::RIGHTS.iter().filter(holds).find(|r| is_about(r.action, scope)));
    // Who refuses without naming an action (Log Analytics) is known by the only role that is made for such a scope.
    let role = role.or_else(|| only_role(scope).filter(|_| action.is_empty()));
    // What does not exist yet cannot be exempted.
    let governed = match resource.to_ascii_lowercase().find("/providers/") {
        Some(at) if refusal.creates() => resource.get(..at).unwrap_or(resource),
        Some(_) | None => resource,
    };
    let denial = quoted_after(message, "and Id '").zip(quoted_after(message, "at scope '"));
    let denial = denial.map(|(id, scope)| format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{id}"));
    let first_after = |words: &str| {
        let (_, rest) = message.split_once(words)?;
        ids(rest).next()
    };
    let subnet = ids(message).find(|id| id.to_ascii_lowercase().contains("/subnets/"));
    let blocked = first_after(BLOCKED).unwrap_or(resource);
    let locked = first_after(LOCKED).unwrap_or(resource);
    let role = role
        .map(|r| r.place.role())
        .or_else(|| built_in(action))
        .unwrap_or("ROLE");
    let values: [(&str, &str); 16] = [
        (
            "{principal}",
            quoted_after(message, "object id '").unwrap_or("OBJECT_ID"),
        ),
        ("{scope}", scope),
        (
            "{stack}",
            quoted_after(message, "Deployment Stack '")
                .filter(|stack| is_whole(stack))
                .unwrap_or("STACK_ID"),
        ),
        ("{denial}", denial.as_deref().unwrap_or("DENY_ASSIGNMENT_ID")),
        ("{blocked}", blocked),
        ("{locked}", locked),
        ("{tenant}", quoted_after(message, "tenant '").unwrap_or("TENANT_ID")),
        (
            "{linked}",
            quoted_after(message, "linked subscription '").unwrap_or("SUBSCRIPTION"),
        ),
        ("{assignment}", assignment(message).unwrap_or("ASSIGNMENT")),
        ("{resource}", resource),
        ("{governed}", governed),
        ("{resource group}", part("/resourcegroups/").unwrap_or("RESOURCE_GROUP")),
        (
            "{subscription}",
            named("ubscription '")
                .or_else(|| part("/subscriptions/"))
                .unwrap_or("SUBSCRIPTION"),
        ),
        (
            "{provider}",
            named("namespace '")
                .or_else(|| named("resource provider '"))
                .or_else(|| part("/providers/"))
                .unwrap_or("PROVIDER"),
        ),
        ("{subnet}", subnet.unwrap_or("SUBNET_ID")),
        ("{role}", role),
    ];
    filled(advice, |name| {
        let value = values.iter().find(|(of, _)| *of == name);
        value.map(|(_, value)| *value)
    })
}

/// Each `{name}` replaced once, by a word of a shell: a value that looks like another name stays what it is. What stands in double quotes
/// around a name is one word with it.
fn filled<'a>(advice: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let (mut out, mut rest) = (String::new(), advice);
    while let Some((before, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let end = from.find('}').map_or(from.len(), |at| at + 1);
        let (name, mut after) = from.split_at_checked(end).unwrap_or((from, ""));
        match value(name) {
            // Ours, and in quotes already.
            Some(role) if name == "{role}" => out.push_str(role),
            Some(value) if out.ends_with('"') => {
                let (more, left) = after.split_once('"').unwrap_or((after, ""));
                out.pop();
                out.push_str(&word(&format!("{value}{more}")));
                after = left;
            }
            Some(value) => out.push_str(&word(value)),
            None => out.push_str(name),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// An action that Azure names without its provider is that of the linked resource's type.
fn is_about(action: &str, scope: &str) -> bool {
    let (action, scope) = (action.to_ascii_lowercase(), scope.to_ascii_lowercase());
    let provider = action.split('/').next().unwrap_or_default();
    !scope.contains("/providers/") || scope.contains(&format!("/providers/{provider}/"))
}

/// Roles that are assigned on scopes like this one, where it is a subscription or a resource group.
fn groups_of_places(scope: &str) -> &'static [rights::Place] {
    use rights::Place::{Endpoints, ManagedGroup, Subscription, Zones};
    match scope.trim_matches('/').split('/').count() {
        2 => &[Subscription],
        4 => &[Endpoints, Zones, ManagedGroup],
        _ => &[],
    }
}

/// A role that is made for what stands in this scope.
fn is_for(place: rights::Place, scope: &str) -> bool {
    let scope = format!("{}/", scope.to_ascii_lowercase());
    let kind = |action: &str| {
        let action = action.to_ascii_lowercase();
        let mut parts = action.splitn(3, '/');
        Some(format!("/providers/{}/{}/", parts.next()?, parts.next()?))
    };
    let mut kinds = rights::of(place).filter_map(|right| kind(right.action));
    kinds.any(|kind| scope.contains(&kind))
}

/// The role for an action that the operator needs for nothing of its own: identities that people gave a registry are sent back with it.
fn built_in(action: &str) -> Option<&'static str> {
    let action = action.to_ascii_lowercase();
    action
        .starts_with("microsoft.managedidentity/userassignedidentities/")
        .then_some("Managed Identity Operator")
}

/// A right of the one place that stands for scopes like this one, if no other does.
fn only_role(scope: &str) -> Option<&'static rights::Right> {
    let mut fit = rights::RIGHTS.iter().filter(|right| is_for(right.place, scope));
    let first = fit.next()?;
    fit.all(|right| right.place == first.place).then_some(first)
}

fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split('\'').next().filter(|found| !found.is_empty())
}

/// The id of the assignment in `"policyAssignment":{"name":"…","id":"…"}`: Azure's own identifiers are the last. Where the policy's owner
/// wrote why (`Reasons: '…'`), Azure names none, and what looks like one is the owner's text: nobody is told to exempt from that.
fn assignment(message: &str) -> Option<&str> {
    if message.contains("Reasons: '") {
        return None;
    }
    let (_, rest) = message.rsplit_once("\"policyAssignment\"")?;
    let (_, rest) = rest.split_once("\"id\":\"")?;
    let (id, _) = rest.split_once('"')?;
    let is_one = id.starts_with('/') && id.to_ascii_lowercase().contains("/policyassignments/");
    (is_one && !id.contains('\\')).then_some(id)
}

/// What ends ids in Azure's words, and may stand in a name: what is left of such a name is another resource's id.
const ENDS: &str = "'\"[],;";

/// What stands in a name behind a character that ends a word, and in no sentence of Azure's there.
const GOES_ON: &str = ";$|&_-";

/// ARM ids in a text, as they stand there. A resource group may have brackets in its name; those around an id are the sentence's. One
/// after which a name seems to go on is left out.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split_inclusive(|c: char| c.is_whitespace() || ENDS.contains(c));
    let mut at = 0;
    words.filter_map(move |part| {
        at += part.len();
        let end = part.chars().next_back();
        let next = text.get(at..).and_then(|rest| rest.chars().next());
        let goes_on = end.is_some_and(|end| ENDS.contains(end))
            && next.is_some_and(|c| c.is_alphanumeric() || GOES_ON.contains(c));
        let word = part.trim_end_matches(|c: char| c.is_whitespace() || ENDS.contains(c));
        let word = without_brackets_around(word.trim_start_matches('('));
        (!goes_on && word.to_ascii_lowercase().starts_with("/subscriptions/")).then_some(word)
    })
}

/// It was taken from Azure's words as a whole.
fn is_whole(id: &str) -> bool {
    ids(id).next() == Some(id)
}

#[cfg(test)]
mod tests;
