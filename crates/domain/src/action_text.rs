//! What a step does, in words for people: messages, events and logs say this. The step's id is a key of ours and nobody's to read.

use std::collections::BTreeMap;
use std::fmt;

use crate::action::{Action, AzureAction, ClusterAction, Edit};
use crate::ids::{ArmId, Location};
use crate::target::{EndpointGroup, row};

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Cluster(action) => action.fmt(f),
            Action::Azure(action) => action.fmt(f),
        }
    }
}

impl fmt::Display for ClusterAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterAction::Claim { lease, from: None } => {
                write!(f, "claim the registry for this object (Lease {lease})")
            }
            ClusterAction::Claim { lease, from: Some(_) } => {
                write!(
                    f,
                    "take over the claim on the registry (Lease {lease}) from an object that is gone"
                )
            }
            ClusterAction::RecordCreation { lease, mark: _ } => {
                write!(f, "record that the registry is created by this object (Lease {lease})")
            }
            ClusterAction::ReleaseClaim { lease } => write!(f, "give back the claim on the registry (Lease {lease})"),
            ClusterAction::AddFinalizer => f.write_str("put the operator's finalizer on this object"),
            ClusterAction::RemoveFinalizer => f.write_str("take the operator's finalizer off this object"),
            ClusterAction::WriteSnapshot { config_map, .. } => write!(
                f,
                "write down the settings from before the lock (ConfigMap {config_map})"
            ),
            ClusterAction::DeleteSnapshot { config_map } => {
                write!(f, "delete the settings from before the lock (ConfigMap {config_map})")
            }
            ClusterAction::ApplyProbe(probe) => {
                write!(
                    f,
                    "ask the agent by ConnectivityProbe {}/{}",
                    probe.namespace, probe.name
                )
            }
            ClusterAction::OpenRound { probes, .. } => write!(
                f,
                "ask all agents to prove their paths anew ({} ConnectivityProbes)",
                probes.len()
            ),
            ClusterAction::PublishDns { config_map, data } if data.is_empty() => {
                write!(f, "delete what DNS must answer (ConfigMap {config_map})")
            }
            ClusterAction::DeletePublishedDns { config_map } => {
                write!(f, "delete what DNS must answer (ConfigMap {config_map})")
            }
            ClusterAction::PublishDns { config_map, .. } => {
                write!(f, "publish what DNS must answer (ConfigMap {config_map})")
            }
            ClusterAction::MarkProbe {
                namespace,
                name,
                silent_since,
            } => {
                let reports = if silent_since.is_some() {
                    "does not report"
                } else {
                    "reports"
                };
                write!(
                    f,
                    "say on ConnectivityProbe {namespace}/{name} that its agent {reports}"
                )
            }
            ClusterAction::DeleteProbe { namespace, name } => {
                write!(f, "delete ConnectivityProbe {namespace}/{name}")
            }
        }
    }
}

impl fmt::Display for AzureAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AzureAction::CreateRegistry { id, locations, .. } => {
                let regions: Vec<&str> = locations.iter().map(Location::as_str).collect();
                write!(f, "create registry {} in {}", id.name(), regions.join(", "))
            }
            AzureAction::SetTags { id, tags, removed, .. } if tags.is_empty() => {
                write!(f, "remove tag {} from registry {}", removed.join(", "), id.name())
            }
            AzureAction::SetTags { id, tags, .. } => {
                write!(f, "tag registry {} with {}", id.name(), listed(tags))
            }
            AzureAction::MergeTags { id, tags, .. } => write!(f, "tag {} with {}", id.name(), listed(tags)),
            AzureAction::GrantManagedGroupAccess { id, principal, .. } => write!(
                f,
                "list principal {principal} in managedResourceGroupSettings.assignedIdentities of registry {}",
                id.name()
            ),
            AzureAction::CreateEndpoint {
                id,
                subnet,
                target,
                group,
                ..
            } => write!(
                f,
                "create private endpoint {} for {} in subnet {}",
                id.name(),
                service(*group, target),
                in_network(subnet)
            ),
            AzureAction::DeleteEndpoint { id, .. } => write!(f, "delete private endpoint {}", id.name()),
            AzureAction::CreateZone { id, .. } => write!(f, "create private DNS zone {}", id.name()),
            AzureAction::LinkZone {
                id, virtual_network, ..
            } => write!(
                f,
                "link virtual network {} to private DNS zone {}",
                virtual_network.name(),
                id.parent().as_ref().map_or("", ArmId::name)
            ),
            AzureAction::PutZoneGroup { id, zones, .. } => {
                let names: Vec<&str> = zones.iter().map(ArmId::name).collect();
                write!(
                    f,
                    "have the records of private endpoint {} written into {}",
                    endpoint_of(id),
                    names.join(", ")
                )
            }
            AzureAction::DeleteZoneGroup { id, .. } => {
                write!(f, "have the records of private endpoint {} removed", endpoint_of(id))
            }
            AzureAction::Edit { target, id, edit, .. } => {
                let what = format!("{} {}", row(*target).noun, id.name());
                match edit {
                    Edit::Close => write!(f, "close public access of {what}"),
                    Edit::Open => write!(f, "open public access of {what}"),
                    Edit::Restore(_) => write!(f, "put back the public access of {what} as it was before the lock"),
                    Edit::AllowResource { resource, .. } => {
                        write!(f, "allow registry {} on {what}", resource.name())
                    }
                }
            }
        }
    }
}

/// Tags in a sentence.
pub fn listed(tags: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

fn service(group: EndpointGroup, target: &ArmId) -> String {
    let name = target.name();
    match group {
        EndpointGroup::AmlRegistry => format!("registry {name}"),
        EndpointGroup::Blob => format!("blobs of storage account {name}"),
        EndpointGroup::Dfs => format!("the hierarchical namespace of storage account {name}"),
        EndpointGroup::ContainerRegistry => format!("container registry {name}"),
    }
}

fn in_network(subnet: &ArmId) -> String {
    match subnet.parent() {
        Some(network) => format!("{} of {}", subnet.name(), network.name()),
        None => subnet.name().to_owned(),
    }
}

fn endpoint_of(zone_group: &ArmId) -> String {
    zone_group
        .parent()
        .map_or(String::new(), |endpoint| endpoint.name().to_owned())
}
