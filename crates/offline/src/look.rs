//! Azure as it is, read by the operator's own reader; and the cluster as a new object finds it, because nobody asked one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sreg_api::VantagePoint;
use sreg_azure::{AzureReader, Patience};
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::seen::{
    AzureSeen, Claim, ClusterSeen, Fact, Ignorance, IgnoranceKind, Memory, ObjectSeen, VantagePointSeen,
};
use sreg_domain::{Desired, Known, Seen};

use crate::documents::Documents;

/// Looks at everything in Azure that a plan for `desired` needs, until `deadline`. Where the registry's claim tag names the object, both
/// are of that cluster from then on.
pub async fn look(
    azure_reader: &dyn AzureReader,
    documents: &Documents,
    desired: Desired,
    at: Timestamp,
    deadline: Duration,
) -> (Desired, Seen) {
    let azure = if desired.may_be_looked_at() {
        azure_reader
            .observe(&desired, &Known::default(), Patience::ordinary(deadline))
            .await
    } else {
        AzureSeen::not_looked_at()
    };
    let (desired, is_held) = as_the_tag_says(desired, &azure);
    let claim = Claim::of(&desired.object, None);
    let seen = Seen {
        at,
        nonce: 1,
        object: ObjectSeen {
            // Whoever holds a registry has it on.
            has_finalizer: is_held,
            ..ObjectSeen::default()
        },
        cluster: ClusterSeen {
            claim: if is_held { Fact::Seen(claim) } else { Fact::Absent },
            vantage_points: vantage_points(documents, &desired),
            probes: names(&desired).map(|name| (name, Fact::Absent)).collect(),
            snapshot: if is_held {
                not_asked("read what was before a lock".to_owned())
            } else {
                Fact::Absent
            },
            restored: None,
            published_dns: Fact::Absent,
            approvals: Fact::Seen(Vec::new()),
            break_glasses: Fact::Seen(Vec::new()),
        },
        azure,
        memory: Memory::default(),
    };
    (desired, seen)
}

/// The object that a registry's tag names by namespace and name is taken for the one in the file.
fn as_the_tag_says(mut desired: Desired, azure: &AzureSeen) -> (Desired, bool) {
    let mark = azure
        .registry_details()
        .and_then(|registry| ClaimMark::of(&desired.registry, &registry.tags));
    let object = &mut desired.object;
    let names_it = |mark: &ClaimMark| mark.namespace == object.namespace && mark.name == object.name;
    let Some(mark) = mark.filter(names_it) else {
        return (desired, false);
    };
    object.uid = mark.uid;
    desired.cluster = mark.cluster;
    (desired, true)
}

fn names(desired: &Desired) -> impl Iterator<Item = String> {
    desired
        .client_networks()
        .iter()
        .map(|network| network.vantage_point.clone())
}

fn vantage_points(documents: &Documents, desired: &Desired) -> BTreeMap<String, Fact<VantagePointSeen>> {
    let seen = |name: String| {
        let fact = match documents.vantage_points.get(&name) {
            Some(point) => declared(&name, point),
            None => not_asked(format!("read VantagePoint {name}")),
        };
        (name, fact)
    };
    names(desired).map(seen).collect()
}

fn declared(name: &str, point: &VantagePoint) -> Fact<VantagePointSeen> {
    let spec = &point.spec;
    let network = spec.virtual_network_resource_id.as_deref().map(str::parse).transpose();
    let virtual_network = match network {
        Ok(id) => id,
        Err(error) => {
            return Fact::Unknown(Ignorance {
                attempt: format!("read VantagePoint {name}"),
                kind: IgnoranceKind::Nonsense,
                message: format!("spec.virtualNetworkResourceId: {error}"),
                code: None,
                correlation_id: None,
                retry_after: None,
            });
        }
    };
    Fact::Seen(VantagePointSeen {
        uid: String::new(),
        generation: 1,
        network: spec.network,
        virtual_network,
        namespace: spec.namespace.clone(),
        service_account: spec.service_account_name.clone(),
        alive: not_asked(format!("read the Lease of VantagePoint {name}")),
        renewed: None,
    })
}

fn not_asked<T>(attempt: String) -> Fact<T> {
    let mut why = Ignorance::not_read("no cluster was asked");
    why.attempt = attempt;
    Fact::Unknown(why)
}
