//! Which grants serve a namespace, and how each is understood. Of a grant that cannot be understood whole nothing is taken for more than its
//! narrowest reading: an entry that makes no sense grants nothing, and where what it demands makes none, whatever it covers is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use sreg_api::grant::{GrantRequirements, GrantedNamespaces, RegistryGrantSpec, RegistryOperation};
use sreg_api::{names, rules};
use sreg_domain::desired::Violation;
use sreg_domain::grants::Requirements;
use sreg_domain::{ArmId, Grant, Grants, Purpose};

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

/// Every text in a JSON value, however deep.
pub fn texts(value: &Value, found: &mut impl FnMut(&str)) {
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

/// What grants may name in the cluster, as it is there.
#[derive(Debug, Clone, Default)]
pub struct NamesThere {
    /// Namespaces with their labels.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// VantagePoints.
    pub vantage_points: BTreeSet<String>,
}

impl NamesThere {
    /// Namespaces that a grant serves now.
    pub(crate) fn served<'a>(&'a self, spec: &RegistryGrantSpec) -> impl Iterator<Item = &'a str> {
        let all = self.namespaces.iter();
        all.filter(|(name, labels)| serves(spec, name, labels))
            .map(|(name, _)| name.as_str())
    }
}

/// Other grants that cover some of the same for some of the same namespaces, each with the scope; and those that do not parse, which
/// refuse what they may cover for every namespace.
pub(crate) fn overlapping(
    (name, spec): (&str, &RegistryGrantSpec),
    all: &[(&str, &FoundGrant)],
    there: Option<&NamesThere>,
) -> Vec<String> {
    let ours = understood(name, spec).0;
    let served: Option<BTreeSet<&str>> = there.map(|there| there.served(spec).collect());
    let serve_the_same = |theirs: &RegistryGrantSpec| match (&served, there) {
        (Some(served), Some(there)) => {
            let named = spec.namespaces.names.iter();
            there.served(theirs).any(|namespace| served.contains(namespace))
                || named.clone().any(|name| theirs.namespaces.names.contains(name))
        }
        (_, None) | (None, _) => may_share(&spec.namespaces, &theirs.namespaces),
    };
    let others = all.iter().filter(|(other, _)| *other != name);
    let shared = others.filter_map(|(other, theirs)| {
        let (theirs, does) = match theirs {
            FoundGrant::Spec(spec) if serve_the_same(spec) => (understood(other, spec).0, "covers"),
            FoundGrant::Spec(_) => return None,
            FoundGrant::Illegible(error, spec) => (illegible(other, error, spec), "does not parse and refuses"),
        };
        let scope = ours.shares(&theirs).map(ToString::to_string);
        let point = || ours.vantage_points.intersection(&theirs.vantage_points).next();
        let shared = scope.or_else(|| Some(format!("VantagePoint {}", point()?)))?;
        Some(format!("RegistryGrant {other} {does} {shared} too"))
    });
    shared.collect()
}

/// Whether some namespace may be served by both, where it is not known what carries which labels.
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

/// Whether a grant serves a namespace which carries these labels.
pub(crate) fn serves(spec: &RegistryGrantSpec, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
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
