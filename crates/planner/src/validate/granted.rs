//! What an object names that takes a grant: what of it is not granted, which fields a grant forbids, and what the grants that it stands on
//! demand of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sreg_api::SecureRegistrySpec;
use sreg_api::grant::{AccountUse, NetworkUse, RegistryOperation};
use sreg_api::registry::{LockdownGate, PublicAccess, RollbackPolicy};
use sreg_domain::desired::{NetworkPlace, Spec, Violation};
use sreg_domain::grants::Requirements;
use sreg_domain::{ArmId, Desired, Grant, Grants, Purpose, duration};

use super::Checks;

/// Something that an object names and that takes a grant.
struct Need<'a> {
    path: String,
    what: Named<'a>,
}

enum Named<'a> {
    Id(Purpose, &'a ArmId),
    VantagePoint(&'a str),
}

impl Named<'_> {
    fn is_allowed(&self, grants: &Grants) -> bool {
        match self {
            Named::Id(purpose, id) => grants.allow(*purpose, id),
            Named::VantagePoint(name) => grants.allow_vantage_point(name),
        }
    }

    fn covering<'g>(&self, grants: &'g Grants) -> Vec<&'g Grant> {
        match self {
            Named::Id(purpose, id) => grants.covering(*purpose, id).collect(),
            Named::VantagePoint(name) => grants.covering_vantage_point(name).collect(),
        }
    }

    /// What it would be used for, what it is, and which entry of a grant would allow it.
    fn refused(&self) -> Missing {
        let (verb, subject, entry) = match self {
            Named::VantagePoint(name) => (
                "use VantagePoint",
                (*name).to_owned(),
                "vantagePoints; kubectl get vantagepoints shows what they are called".to_owned(),
            ),
            Named::Id(purpose, id) => {
                let (verb, entry) = wording(*purpose);
                (verb, id.to_string(), entry)
            }
        };
        Missing {
            verb,
            subjects: vec![subject],
            entry,
        }
    }
}

/// What one entry of a grant would allow.
#[derive(PartialEq)]
struct Missing {
    verb: &'static str,
    subjects: Vec<String>,
    entry: String,
}

impl std::fmt::Display for Missing {
    /// Ids that stand side by side are named once, so that what an administrator needs fits into one message.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut beside: Vec<(&str, Vec<&str>)> = Vec::new();
        for subject in &self.subjects {
            let (parent, name) = subject.rsplit_once('/').unwrap_or(("", subject));
            match beside.iter_mut().find(|(known, _)| *known == parent) {
                Some((_, names)) => names.push(name),
                None => beside.push((parent, vec![name])),
            }
        }
        let shown = beside.iter().map(|(parent, names)| match names.as_slice() {
            names if parent.is_empty() => names.join(", "),
            [name] => format!("{parent}/{name}"),
            names => format!("{parent}/{{{}}}", names.join(", ")),
        });
        write!(f, "{} {}", self.verb, shown.collect::<Vec<_>>().join(", "))
    }
}

/// What people call a purpose, and the entry of a grant for it.
fn wording(purpose: Purpose) -> (&'static str, String) {
    let registries = |operation: RegistryOperation| format!("registries with operations: [{operation}]");
    let networks = |used: NetworkUse| format!("virtualNetworks with uses: [{}]", used);
    let accounts = |used: AccountUse| format!("accounts with uses: [{}]", used);
    match purpose {
        Purpose::Registry(operation) => {
            let verb = match operation {
                RegistryOperation::Observe => "look at registry",
                RegistryOperation::Lock => "build for, and make private, registry",
                RegistryOperation::Open => "open registry",
                RegistryOperation::Create => "create registry",
                RegistryOperation::TakeOver => "take over registry",
            };
            (verb, registries(operation))
        }
        Purpose::Network(used) => {
            let verb = match used {
                NetworkUse::Endpoints => "put private endpoints into subnet",
                NetworkUse::Links => "link private DNS zones to virtual network",
                NetworkUse::Clients => "name as a client network, or waive, virtual network",
            };
            (verb, networks(used))
        }
        Purpose::EndpointResourceGroup => ("make private endpoints in", "endpointResourceGroups".to_owned()),
        Purpose::PrivateDnsZone => ("write to private DNS zone", "privateDnsZones".to_owned()),
        Purpose::Account(used) => {
            let verb = match used {
                AccountUse::Sharing => "put a resource rule on storage account",
                AccountUse::Shared => "have a registry share account",
            };
            (verb, accounts(used))
        }
        Purpose::LogAnalyticsWorkspace => ("ask for clients in workspace", "logAnalyticsWorkspaces".to_owned()),
    }
}

/// All that an object names, the registry first.
fn needs(desired: &Desired) -> Vec<Need<'_>> {
    let id = |path: String, purpose: Purpose, id| Need {
        path,
        what: Named::Id(purpose, id),
    };
    let registry = |path: &str, operation| id(path.to_owned(), Purpose::Registry(operation), &desired.registry);
    let mut all = vec![look(&desired.registry)];
    let Some(spec) = desired.whole() else { return all };
    if !desired.observe_only {
        // Whatever is built, also for a registry that is to stay open, is built to make it private.
        all.push(registry("spec.managementPolicy", RegistryOperation::Lock));
    }
    if !desired.observe_only && desired.public_access == PublicAccess::Enabled {
        all.push(registry("spec.publicAccess.desired", RegistryOperation::Open));
    }
    if spec.create.is_some() && !desired.observe_only {
        all.push(registry("spec.registry.create", RegistryOperation::Create));
    }
    if spec.rollback == RollbackPolicy::Reopen {
        all.push(registry(
            "spec.publicAccess.rollback.onFailure",
            RegistryOperation::Open,
        ));
    }
    for place in &spec.endpoints {
        let path = format!("spec.endpoints[{}]", place.name);
        let network = |field: &str, used, network| id(format!("{path}.{field}"), Purpose::Network(used), network);
        all.push(network("subnetResourceId", NetworkUse::Endpoints, &place.subnet));
        if Some(&place.resource_group) != place.virtual_network.resource_group_id().as_ref() {
            let purpose = Purpose::EndpointResourceGroup;
            all.push(id(
                format!("{path}.resourceGroupResourceId"),
                purpose,
                &place.resource_group,
            ));
        }
        let zones = place.dns.zones.values();
        all.extend(zones.map(|zone| id(format!("{path}.dns"), Purpose::PrivateDnsZone, zone)));
        let links = place.dns.links.iter();
        all.extend(links.map(|link| network("dns.linkVirtualNetworks", NetworkUse::Links, link)));
    }
    for client in &spec.client_networks {
        let path = format!("spec.clientNetworks[{}]", client.name);
        if let NetworkPlace::VirtualNetwork(network) = &client.place {
            let purpose = Purpose::Network(NetworkUse::Clients);
            all.push(id(format!("{path}.virtualNetworkResourceId"), purpose, network));
        }
        all.push(Need {
            path: format!("{path}.vantagePoint"),
            what: Named::VantagePoint(&client.vantage_point),
        });
    }
    let waived = spec.waived.keys();
    let clients = Purpose::Network(NetworkUse::Clients);
    all.extend(waived.map(|network| id("spec.unprovenNetworks".to_owned(), clients, network)));
    let shared = spec.shared_accounts.keys();
    let lockdown = Purpose::Account(AccountUse::Shared);
    all.extend(shared.map(|account| id("spec.sharedAccounts".to_owned(), lockdown, account)));
    let sharing = spec.sharing.iter();
    let share = Purpose::Account(AccountUse::Sharing);
    all.extend(sharing.map(|account| id("spec.sharing".to_owned(), share, account)));
    if let Some(recent) = &spec.verification.recent_public_clients {
        let path = "spec.verification.recentPublicClients.logAnalyticsWorkspaceResourceId";
        all.push(id(path.to_owned(), Purpose::LogAnalyticsWorkspace, &recent.workspace));
    }
    all
}

/// What an object names and is not granted.
#[derive(Default)]
struct Refusals {
    /// Covered by a grant that is not understood: each by itself.
    odd: Vec<Violation>,
    /// Covered by none; one for each entry that would allow some of it.
    missing: Vec<Missing>,
    /// Where the first of those stands.
    path: String,
}

impl Refusals {
    fn of<'a>(needs: impl IntoIterator<Item = Need<'a>>, registry: &ArmId, grants: &Grants) -> Refusals {
        let mut refusals = Refusals::default();
        let (mut of_registry, mut of_others) = (Vec::new(), Vec::new());
        let may_look = grants.allow_looking_at(registry);
        for Need { path, what } in needs.into_iter().filter(|need| !need.what.is_allowed(grants)) {
            let mut covering = what.covering(grants).into_iter();
            // One that does not parse may be for others: whoever may look at nothing is told nothing of it.
            let odd = covering.find_map(|grant| Some((&grant.name, grant.requires.as_ref().err()?)));
            let odd = odd.filter(|_| may_look);
            match (odd, &what) {
                (Some((name, wrong)), _) => refusals.odd.push(Violation {
                    path,
                    message: format!(
                        "RegistryGrant {name}, which covers it, is not understood ({wrong}): whoever administers it has to put that right"
                    ),
                }),
                (None, Named::Id(Purpose::Registry(operation), _)) => {
                    of_registry.push((*operation, path, what.refused()));
                }
                (None, Named::Id(..) | Named::VantagePoint(_)) => of_others.push((path, what.refused())),
            }
        }
        refusals.miss_registry(of_registry);
        for (path, missing) in of_others {
            refusals.miss(path, missing);
        }
        refusals
    }

    fn miss(&mut self, path: String, missing: Missing) {
        if self.missing.is_empty() {
            self.path = path;
        }
        let same = |known: &&mut Missing| known.verb == missing.verb && known.entry == missing.entry;
        match self.missing.iter_mut().find(same) {
            None => self.missing.push(missing),
            Some(known) => {
                let new = missing
                    .subjects
                    .into_iter()
                    .filter(|subject| !known.subjects.contains(subject));
                let new: Vec<String> = new.collect();
                known.subjects.extend(new);
            }
        }
    }

    /// Where it may not even be looked at, one entry lists all operations: each of them comes with looking.
    fn miss_registry(&mut self, refused: Vec<(RegistryOperation, String, Missing)>) {
        let looking = RegistryOperation::Observe;
        let operations: BTreeSet<RegistryOperation> = refused.iter().map(|(operation, ..)| *operation).collect();
        for (operation, path, missing) in refused {
            if operation == looking && operations.len() > 1 {
                let rest = operations.iter().filter(|other| **other != looking);
                let rest: Vec<String> = rest.map(ToString::to_string).collect();
                let entry = format!("registries with operations: [{}]", rest.join(", "));
                self.miss(path, Missing { entry, ..missing });
            } else if operation == looking || !operations.contains(&looking) {
                self.miss(path, missing);
            }
        }
    }

    /// One sentence holds all that an administrator has to add, so that one look at it is enough.
    fn into_violations(self, namespace: &str) -> Vec<Violation> {
        let Refusals { mut odd, missing, path } = self;
        let shown = "kubectl get registrygrants shows those there are";
        let message = match missing.as_slice() {
            [] => return odd,
            [one] if one.subjects.len() == 1 => {
                format!(
                    "no RegistryGrant lets namespace {namespace} {one}: an administrator can add one ({}); {shown}",
                    one.entry
                )
            }
            several => {
                let named: Vec<String> = several.iter().map(|one| format!("{one} ({})", one.entry)).collect();
                format!(
                    "no RegistryGrant lets namespace {namespace} {}: an administrator can add these entries; {shown}",
                    named.join("; ")
                )
            }
        };
        odd.insert(0, Violation { path, message });
        odd
    }
}

/// What an object names that its grants do not cover. It is taken from its own spec and from grants that serve its namespace, so that all
/// of it is told at once; nothing of Azure is in it.
pub(super) fn refused(desired: &Desired) -> Vec<Violation> {
    Refusals::of(needs(desired), &desired.registry, &desired.grants).into_violations(&desired.object.namespace)
}

/// That the registry may not even be looked at. `None`: it may.
pub(super) fn registry_refused(namespace: &str, registry: &ArmId, grants: &Grants) -> Option<Violation> {
    let refusals = Refusals::of([look(registry)], registry, grants).into_violations(namespace);
    refusals.into_iter().next()
}

/// Looking at a registry: all that an object does begins with it.
fn look(registry: &ArmId) -> Need<'_> {
    Need {
        path: "spec.registry.resourceId".to_owned(),
        what: Named::Id(Purpose::Registry(RegistryOperation::Observe), registry),
    }
}

/// Names of the grants that cover a registry.
pub(super) fn of_registry(registry: &ArmId, grants: &Grants) -> Vec<String> {
    let covering = look(registry).what.covering(grants).into_iter();
    covering.map(|grant| grant.name.clone()).collect()
}

/// Whether any grant of the namespace demands that approvals come from somebody else. Asked for objects that break rules: what those
/// name is not known, and whoever breaks one on purpose must not shed a demand.
pub(super) fn separate_approver(grants: &Grants) -> bool {
    let demands = |grant: &Grant| grant.requires.as_ref().is_ok_and(|requires| requires.separate_approver);
    grants.iter().any(demands)
}

/// Grants that cover something that the object names, by name.
fn standing(desired: &Desired) -> BTreeMap<&str, &Grant> {
    let needs = needs(desired);
    let covering = needs.iter().flat_map(|need| need.what.covering(&desired.grants));
    covering.map(|grant| (grant.name.as_str(), grant)).collect()
}

/// Names of the grants that cover something that the object names; of an object that names nothing it may look at, none.
pub(super) fn names_standing(desired: &Desired) -> Vec<String> {
    if !desired.grants.allow_looking_at(&desired.registry) {
        return Vec::new();
    }
    standing(desired).into_keys().map(str::to_owned).collect()
}

/// Fields that a grant forbids and that are set: whoever writes the spec can take them out.
pub(super) fn forbidden(desired: &Desired, spec: &SecureRegistrySpec) -> Vec<Violation> {
    let standing = standing(desired);
    let mut forbidden: Vec<(&str, &String)> = Vec::new();
    for (name, grant) in &standing {
        let requires = grant.requires.as_ref().ok();
        let fields = requires.into_iter().flat_map(|requires| &requires.forbidden_fields);
        forbidden.extend(fields.map(|field| (*name, field)));
    }
    if forbidden.is_empty() {
        return Vec::new();
    }
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let set = forbidden
        .into_iter()
        .filter(|(_, field)| is_set(&spec, field.split('.').skip(1)));
    let violation = |(name, field): (&str, &String)| Violation {
        path: field.clone(),
        message: format!("RegistryGrant {name} forbids this field: remove it, or ask whoever administers that grant"),
    };
    set.map(violation).collect()
}

fn is_set<'a>(value: &Value, mut path: impl Iterator<Item = &'a str> + Clone) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| is_set(item, path.clone())),
        Value::Object(fields) => match path.next() {
            Some(field) => fields.get(field).is_some_and(|value| is_set(value, path)),
            None => !fields.is_empty(),
        },
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => path.next().is_none(),
    }
}

/// What the grants demand, put into what is desired: of several demands, and the spec's own, the strictest.
pub(super) fn demanded(mut desired: Desired, checks: &mut Checks) -> Desired {
    let standing: Vec<Grant> = standing(&desired).into_values().cloned().collect();
    desired.stands_on = standing.iter().map(|grant| grant.name.clone()).collect();
    let Ok(spec) = &mut desired.spec else {
        return desired;
    };
    for grant in &standing {
        if let Ok(requires) = &grant.requires {
            desired.separate_approver |= requires.separate_approver;
            demand(spec, &grant.name, requires);
        }
    }
    let verification = &spec.verification;
    if verification.max_age < verification.interval.saturating_mul(verification.consecutive_successes) {
        checks.refuse(
            "spec.verification.maxAge",
            format!(
                "must be at least consecutiveSuccesses × interval, and a RegistryGrant demands {} successes: raise maxAge or lower the interval",
                verification.consecutive_successes
            ),
        );
    }
    desired
}

fn demand(spec: &mut Spec, grant: &str, requires: &Requirements) {
    let mut told = Vec::new();
    spec.approval_demanded |= requires.name_changes_approval;
    if requires.name_changes_approval && !spec.approve_name_changes {
        spec.approve_name_changes = true;
        told.push("nameChanges.waitFor: [Approval]".to_owned());
    }
    if requires.lockdown_approval && !spec.gates.contains(&LockdownGate::Approval) {
        spec.gates.push(LockdownGate::Approval);
        told.push("publicAccess.lockdown.waitFor: [Approval]".to_owned());
    }
    if requires.separate_approver {
        told.push("ChangeApprovals by someone other than the last person to edit the spec".to_owned());
    }
    let verification = &mut spec.verification;
    if verification.dns_settle < requires.minimum_dns_settle {
        verification.dns_settle = requires.minimum_dns_settle;
        told.push(format!(
            "verification.dnsSettle: {}",
            duration::show(requires.minimum_dns_settle)
        ));
    }
    if verification.consecutive_successes < requires.minimum_consecutive_successes {
        verification.consecutive_successes = requires.minimum_consecutive_successes;
        told.push(format!(
            "verification.consecutiveSuccesses: {}",
            requires.minimum_consecutive_successes
        ));
    }
    if !told.is_empty() {
        spec.demanded.push(format!(
            "RegistryGrant {grant} demands what the spec does not: {}",
            told.join(", ")
        ));
    }
}
