//! Which grants serve a namespace, what an object names that none of them covers, and what they demand of it. Of a grant that cannot
//! be understood whole nothing is taken for more than its narrowest reading: an entry that makes no sense grants nothing, and where
//! what it demands makes none, whatever it covers is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use sreg_api::SecureRegistrySpec;
use sreg_api::grant::{
    AccountUse, GrantRequirements, GrantedNamespaces, NetworkUse, RegistryGrantSpec, RegistryOperation,
};
use sreg_api::registry::{LockdownGate, PublicAccess, RollbackPolicy};
use sreg_api::{names, rules};
use sreg_domain::desired::{NetworkPlace, Violation};
use sreg_domain::grants::Requirements;
use sreg_domain::{ArmId, Desired, Grant, Grants, Purpose, duration};

use super::Checks;

/// A grant as it was found: its spec, or what stands there that is none.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundGrant {
    /// It parses.
    Spec(Box<RegistryGrantSpec>),
    /// It does not, by this operator's version: the error, and whatever stands there.
    Illegible(String, Value),
}

impl FoundGrant {
    /// Takes a spec as the API server has it.
    pub fn new(spec: &Value) -> FoundGrant {
        match serde_json::from_value(spec.clone()) {
            Ok(spec) => FoundGrant::Spec(Box::new(spec)),
            Err(error) => FoundGrant::Illegible(error.to_string(), spec.clone()),
        }
    }

    /// Whether the labels of namespaces have to be known to tell whom it serves, this one aside that it names.
    pub fn asks_for_labels(&self, namespace: &str) -> bool {
        match self {
            FoundGrant::Spec(spec) => {
                !spec.namespaces.match_labels.is_empty() && !spec.namespaces.names.iter().any(|name| name == namespace)
            }
            FoundGrant::Illegible(..) => false,
        }
    }
}

/// A grant that does not parse grants nothing, and what it demands is not known: whatever it may cover is refused, for whomever it may
/// serve. Otherwise a lenient grant beside it would rule alone.
fn illegible(name: &str, error: &str, spec: &Value) -> Grant {
    let mut ids = Vec::new();
    let mut points = BTreeSet::new();
    texts(spec, &mut |text| match text.parse::<ArmId>() {
        Ok(id) => ids.push(id),
        Err(_) if names::is_object_name(text) => drop(points.insert(text.to_owned())),
        Err(_) => {}
    });
    let free = [RegistryOperation::Observe, RegistryOperation::Open].map(Purpose::Registry);
    let demanding = Purpose::all().filter(|purpose| !free.contains(purpose));
    Grant {
        name: name.to_owned(),
        scopes: demanding.map(|purpose| (purpose, ids.clone())).collect(),
        vantage_points: points,
        requires: Err(format!("it does not parse: {error}")),
    }
}

fn texts(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The grants that serve a namespace which carries these labels.
pub fn grants_serving<'a>(
    all: impl IntoIterator<Item = (&'a str, &'a FoundGrant)>,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Grants {
    let serving = all.into_iter().filter_map(|(name, found)| match found {
        FoundGrant::Spec(spec) => serves(spec, namespace, labels).then(|| understood(name, spec).0),
        FoundGrant::Illegible(error, spec) => Some(illegible(name, error, spec)),
    });
    Grants::new(serving.collect())
}

/// What is wrong with a grant, for whoever wrote it. Empty: nothing.
pub fn grant_violations(spec: &RegistryGrantSpec) -> Vec<Violation> {
    understood("", spec).1
}

/// Other grants that cover some of the same for some of the same namespaces, each with the scope.
pub(crate) fn overlapping((name, spec): (&str, &RegistryGrantSpec), all: &[(&str, &RegistryGrantSpec)]) -> Vec<String> {
    let ours = understood(name, spec).0;
    let others = all
        .iter()
        .filter(|(other, theirs)| *other != name && may_share(&spec.namespaces, &theirs.namespaces));
    let shared = others.filter_map(|(other, theirs)| {
        let theirs = understood(other, theirs).0;
        let scope = ours.shares(&theirs).map(ToString::to_string);
        let point = || ours.vantage_points.intersection(&theirs.vantage_points).next();
        let shared = scope.or_else(|| Some(format!("VantagePoint {}", point()?)))?;
        Some(format!("RegistryGrant {other} covers {shared} too"))
    });
    shared.collect()
}

/// Whether some namespace may be served by both. What carries which labels is not known here.
fn may_share(a: &GrantedNamespaces, b: &GrantedNamespaces) -> bool {
    let by_label = |namespaces: &GrantedNamespaces| !namespaces.match_labels.is_empty();
    let apart = a
        .match_labels
        .iter()
        .any(|(name, value)| b.match_labels.get(name).is_some_and(|other| other != value));
    let named_apart = a.names.is_empty() && b.names.is_empty() && apart;
    let labelled = (by_label(a) || by_label(b)) && !named_apart;
    labelled || a.names.iter().any(|name| b.names.contains(name))
}

fn serves(spec: &RegistryGrantSpec, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    let wanted = &spec.namespaces.match_labels;
    let by_label = !wanted.is_empty() && wanted.iter().all(|(name, value)| labels.get(name) == Some(value));
    by_label || spec.namespaces.names.iter().any(|name| name == namespace)
}

fn understood(name: &str, spec: &RegistryGrantSpec) -> (Grant, Vec<Violation>) {
    let mut checks = Checks::default();
    let mut scopes: BTreeMap<Purpose, Vec<ArmId>> = BTreeMap::new();
    for (path, text, purposes) in entries(spec) {
        if let Some(scope) = scope(&path, text, &mut checks)
            && fits(&path, &scope, &purposes, &mut checks)
        {
            for purpose in purposes {
                scopes.entry(purpose).or_default().push(scope.clone());
            }
        }
    }
    let mut vantage_points = BTreeSet::new();
    for (at, point) in spec.vantage_points.iter().enumerate() {
        if names::is_object_name(point) {
            vantage_points.insert(point.clone());
        } else {
            checks.refuse(
                format!("spec.vantagePoints[{at}]"),
                "must be the name of a VantagePoint, without wildcards",
            );
        }
    }
    let requires = spec.requires.as_ref().map_or(Ok(Requirements::default()), |requires| {
        let mut own = Checks::default();
        let parsed = requirements(requires, &mut own);
        let wrong = Violation::sentence(&own.found);
        checks.found.append(&mut own.found);
        if wrong.is_empty() { Ok(parsed) } else { Err(wrong) }
    });
    if spec.namespaces.names.is_empty() && spec.namespaces.match_labels.is_empty() {
        checks.refuse("spec.namespaces", "names nobody: write names or matchLabels");
    }
    if scopes.is_empty() && vantage_points.is_empty() && checks.found.is_empty() {
        checks.refuse(
            "spec",
            "grants nothing: name registries, virtualNetworks, privateDnsZones or vantagePoints",
        );
    }
    let grant = Grant {
        name: name.to_owned(),
        scopes,
        vantage_points,
        requires,
    };
    (grant, checks.found)
}

/// Each scope of a grant: where it stands, its text, and what for.
fn entries(spec: &RegistryGrantSpec) -> Vec<(String, &str, Vec<Purpose>)> {
    let mut all = Vec::new();
    for (at, entry) in spec.registries.iter().enumerate() {
        let observe = Purpose::Registry(RegistryOperation::Observe);
        let operations = entry.operations.iter().map(|operation| Purpose::Registry(*operation));
        let mut purposes: Vec<Purpose> = operations.collect();
        // Whoever may do something with a registry may look at it.
        if !purposes.is_empty() && !purposes.contains(&observe) {
            purposes.push(observe);
        }
        all.push((format!("spec.registries[{at}].scope"), entry.scope.as_str(), purposes));
    }
    for (at, entry) in spec.virtual_networks.iter().enumerate() {
        let purposes = entry.uses.iter().map(|used| Purpose::Network(*used)).collect();
        all.push((
            format!("spec.virtualNetworks[{at}].scope"),
            entry.scope.as_str(),
            purposes,
        ));
    }
    for (at, entry) in spec.accounts.iter().enumerate() {
        let purposes = entry.uses.iter().map(|used| Purpose::Account(*used)).collect();
        all.push((format!("spec.accounts[{at}].scope"), entry.scope.as_str(), purposes));
    }
    let plain = [
        (
            "endpointResourceGroups",
            &spec.endpoint_resource_groups,
            Purpose::EndpointResourceGroup,
        ),
        ("privateDnsZones", &spec.private_dns_zones, Purpose::PrivateDnsZone),
        (
            "logAnalyticsWorkspaces",
            &spec.log_analytics_workspaces,
            Purpose::LogAnalyticsWorkspace,
        ),
    ];
    for (field, scopes, purpose) in plain {
        let entries = scopes.iter().enumerate();
        all.extend(entries.map(|(at, text)| (format!("spec.{field}[{at}]"), text.as_str(), vec![purpose])));
    }
    all
}

/// What may be named for a purpose, besides a subscription and a resource group.
fn kinds(purpose: Purpose) -> &'static [&'static str] {
    match purpose {
        Purpose::Registry(_) => &["microsoft.machinelearningservices/registries"],
        Purpose::Network(_) => &[
            "microsoft.network/virtualnetworks",
            "microsoft.network/virtualnetworks/subnets",
        ],
        Purpose::EndpointResourceGroup => &[],
        Purpose::PrivateDnsZone => &["microsoft.network/privatednszones"],
        Purpose::Account(_) => &[
            "microsoft.storage/storageaccounts",
            "microsoft.containerregistry/registries",
        ],
        Purpose::LogAnalyticsWorkspace => &["microsoft.operationalinsights/workspaces"],
    }
}

/// A scope that holds nothing of the kind it is granted for is a typing error.
fn fits(path: &str, id: &ArmId, purposes: &[Purpose], checks: &mut Checks) -> bool {
    let allowed: BTreeSet<&str> = purposes.iter().flat_map(|purpose| kinds(*purpose)).copied().collect();
    let fits = !id.key().contains("/providers/") || allowed.contains(id.kind().as_str());
    if !fits {
        let mut may: Vec<&str> = vec!["a subscription", "a resource group"];
        may.extend(allowed);
        let may = may.join(", ");
        checks.refuse(
            path,
            format!("is a {}, and may be {may}: this entry grants nothing", id.kind()),
        );
    }
    fits
}

fn scope(path: &str, text: &str, checks: &mut Checks) -> Option<ArmId> {
    let id = text.parse::<ArmId>().ok().filter(|id| !id.key().contains('*'));
    if id.is_none() {
        let shown: String = text.chars().take(120).collect();
        checks.refuse(
            path,
            format!("{shown:?} must be the ARM id of a subscription, a resource group or a resource, without wildcards: this entry grants nothing"),
        );
    }
    id
}

/// Every field of a spec, by its path without indices.
static FIELDS: LazyLock<BTreeSet<String>> = LazyLock::new(sreg_api::crd::fields_of_spec);
/// Those that every object has.
static ALWAYS_SET: LazyLock<BTreeSet<String>> = LazyLock::new(sreg_api::crd::fields_always_set);

fn requirements(spec: &GrantRequirements, checks: &mut Checks) -> Requirements {
    let path = "spec.requires";
    let settle = spec
        .minimum_dns_settle
        .as_ref()
        .and_then(|text| checks.duration(format!("{path}.minimumDnsSettle"), text, rules::DNS_SETTLE_BOUNDS));
    let fewest = spec.minimum_consecutive_successes.unwrap_or(1);
    let successes = u32::try_from(fewest).ok().filter(|n| (1..=10).contains(n));
    if successes.is_none() {
        checks.refuse(
            format!("{path}.minimumConsecutiveSuccesses"),
            "must lie between 1 and 10",
        );
    }
    for (at, field) in spec.forbidden_fields.iter().enumerate() {
        if ALWAYS_SET.contains(field.as_str()) {
            checks.refuse(
                format!("{path}.forbiddenFields[{at}]"),
                format!("{field} is filled in by the API server, so that every object has it: this forbids all of them; name another field"),
            );
        }
        if !FIELDS.contains(field.as_str()) {
            let shown: String = field.chars().take(120).collect();
            checks.refuse(
                format!("{path}.forbiddenFields[{at}]"),
                format!("{shown:?} is no field of a SecureRegistry: write its path without indices, such as spec.unprovenNetworks (kubectl explain sreg.spec)"),
            );
        }
    }
    Requirements {
        name_changes_approval: spec.name_changes_approval,
        lockdown_approval: spec.lockdown_approval,
        separate_approver: spec.separate_approver,
        minimum_dns_settle: settle.unwrap_or(Duration::ZERO),
        minimum_consecutive_successes: successes.unwrap_or(1),
        forbidden_fields: spec.forbidden_fields.iter().cloned().collect(),
    }
}

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

    /// What is not allowed, and which entry would allow it.
    fn refused(&self) -> (String, String) {
        let (verb, entry) = match self {
            Named::VantagePoint(name) => {
                return (format!("use VantagePoint {name}"), format!("vantagePoints: [{name}]"));
            }
            Named::Id(purpose, _) => wording(*purpose),
        };
        let id = match self {
            Named::Id(_, id) => id.as_str(),
            Named::VantagePoint(name) => name,
        };
        (format!("{verb} {id}"), entry)
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

/// All that an object names. The registry comes first: who may not look at it need not be told of the rest.
fn needs(desired: &Desired) -> Vec<Need<'_>> {
    let id = |path: String, purpose: Purpose, id| Need {
        path,
        what: Named::Id(purpose, id),
    };
    let registry = |path: &str, operation| id(path.to_owned(), Purpose::Registry(operation), &desired.registry);
    let mut all = vec![look(&desired.registry)];
    if !desired.observe_only {
        // Whatever is built, also for a registry that is to stay open, is built to make it private.
        all.push(registry("spec.managementPolicy", RegistryOperation::Lock));
    }
    if !desired.observe_only && desired.public_access == PublicAccess::Enabled {
        all.push(registry("spec.publicAccess.desired", RegistryOperation::Open));
    }
    if desired.create.is_some() && !desired.observe_only {
        all.push(registry("spec.registry.create", RegistryOperation::Create));
    }
    if desired.rollback == RollbackPolicy::Reopen {
        all.push(registry(
            "spec.publicAccess.rollback.onFailure",
            RegistryOperation::Open,
        ));
    }
    for place in &desired.endpoints {
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
    for client in &desired.client_networks {
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
    let waived = desired.waived.keys();
    let clients = Purpose::Network(NetworkUse::Clients);
    all.extend(waived.map(|network| id("spec.unprovenNetworks".to_owned(), clients, network)));
    let shared = desired.shared_accounts.keys();
    let lockdown = Purpose::Account(AccountUse::Shared);
    all.extend(shared.map(|account| id("spec.sharedAccounts".to_owned(), lockdown, account)));
    let sharing = desired.sharing.iter();
    let share = Purpose::Account(AccountUse::Sharing);
    all.extend(sharing.map(|account| id("spec.sharing".to_owned(), share, account)));
    if let Some(recent) = &desired.verification.recent_public_clients {
        let path = "spec.verification.recentPublicClients.logAnalyticsWorkspaceResourceId";
        all.push(id(path.to_owned(), Purpose::LogAnalyticsWorkspace, &recent.workspace));
    }
    all
}

/// That something is named and not granted. `None`: it is.
fn refusal(Need { path, what }: Need<'_>, grants: &Grants, namespace: &str) -> Option<Violation> {
    if what.is_allowed(grants) {
        return None;
    }
    let (attempt, entry) = what.refused();
    let mut covering = what.covering(grants).into_iter();
    let odd = covering.find_map(|grant| Some((&grant.name, grant.requires.as_ref().err()?)));
    let message = match odd {
        Some((name, wrong)) => format!(
            "RegistryGrant {name}, which covers it, is not understood ({wrong}): whoever administers it has to put that right"
        ),
        None => format!(
            "no RegistryGrant lets namespace {namespace} {attempt}: an administrator can add one ({entry}); kubectl get registrygrants shows those there are"
        ),
    };
    Some(Violation { path, message })
}

/// What an object names that its grants do not cover. Whoever may not look at the registry learns nothing more.
pub(super) fn refused(desired: &Desired, spec: &SecureRegistrySpec) -> Vec<Violation> {
    let (grants, namespace) = (&desired.grants, &desired.object.namespace);
    if let Some(registry) = registry_refused(namespace, &desired.registry, grants) {
        return vec![registry];
    }
    let needs = needs(desired).into_iter();
    let mut refused: Vec<Violation> = needs.filter_map(|need| refusal(need, grants, namespace)).collect();
    refused.extend(forbidden(desired, spec));
    refused
}

/// That the registry may not even be looked at. `None`: it may.
pub(super) fn registry_refused(namespace: &str, registry: &ArmId, grants: &Grants) -> Option<Violation> {
    refusal(look(registry), grants, namespace)
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

/// Fields that a grant forbids and that are set.
fn forbidden(desired: &Desired, spec: &SecureRegistrySpec) -> Vec<Violation> {
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
    for grant in &standing {
        if let Ok(requires) = &grant.requires {
            demand(&mut desired, &grant.name, requires);
        }
    }
    let Desired { verification, .. } = &desired;
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

fn demand(desired: &mut Desired, grant: &str, requires: &Requirements) {
    let mut told = Vec::new();
    desired.approval_demanded |= requires.name_changes_approval;
    if requires.name_changes_approval && !desired.approve_name_changes {
        desired.approve_name_changes = true;
        told.push("nameChanges.waitFor: [Approval]".to_owned());
    }
    if requires.lockdown_approval && !desired.gates.contains(&LockdownGate::Approval) {
        desired.gates.push(LockdownGate::Approval);
        told.push("publicAccess.lockdown.waitFor: [Approval]".to_owned());
    }
    if requires.separate_approver {
        desired.separate_approver = true;
        told.push("ChangeApprovals by someone other than the last person to edit the spec".to_owned());
    }
    let verification = &mut desired.verification;
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
        desired.demanded.push(format!(
            "RegistryGrant {grant} demands what the spec does not: {}",
            told.join(", ")
        ));
    }
}
