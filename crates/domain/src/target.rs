//! The three things behind one registry, and the private-link groups that reach them (azure.md §3.2).

use serde::{Deserialize, Serialize};
use sreg_api::probe::ProbeService;
pub use sreg_api::status::TargetKind;
use strum::{EnumIter, IntoEnumIterator};

/// The private-link group of an endpoint; each endpoint has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumIter)]
#[serde(rename_all = "camelCase")]
pub enum EndpointGroup {
    /// `amlregistry` of the ML registry.
    AmlRegistry,
    /// `blob` of a storage account.
    Blob,
    /// `dfs` of a storage account with a hierarchical namespace.
    Dfs,
    /// `registry` of the container registry.
    ContainerRegistry,
}

impl EndpointGroup {
    /// The group id as Azure writes it.
    pub fn group_id(self) -> &'static str {
        match self {
            EndpointGroup::AmlRegistry => "amlregistry",
            EndpointGroup::Blob => "blob",
            EndpointGroup::Dfs => "dfs",
            EndpointGroup::ContainerRegistry => "registry",
        }
    }

    /// The group of an id, however Azure spells it; `None` for groups that are none of ours.
    pub fn of_group_id(id: &str) -> Option<EndpointGroup> {
        EndpointGroup::iter().find(|group| group.group_id().eq_ignore_ascii_case(id))
    }

    /// Which of the three it reaches.
    pub fn target(self) -> TargetKind {
        match self {
            EndpointGroup::AmlRegistry => TargetKind::Registry,
            EndpointGroup::Blob | EndpointGroup::Dfs => TargetKind::Storage,
            EndpointGroup::ContainerRegistry => TargetKind::ContainerRegistry,
        }
    }

    /// Which service must answer at a name of this group. An ACR member `registry_data_<region>` is a data endpoint.
    pub fn service(self, member: &str) -> ProbeService {
        match self {
            EndpointGroup::AmlRegistry => ProbeService::Registry,
            EndpointGroup::Blob => ProbeService::Blob,
            EndpointGroup::Dfs => ProbeService::Dfs,
            EndpointGroup::ContainerRegistry if member.starts_with("registry_data") => {
                ProbeService::ContainerRegistryData
            }
            EndpointGroup::ContainerRegistry => ProbeService::ContainerRegistry,
        }
    }

    /// Whether DNS must answer by way of the `privatelink.` CNAME: so for blob, dfs and ACR; the registry has no public
    /// resource-specific name (azure.md §3.2).
    pub fn demands_cname(self) -> bool {
        match self {
            EndpointGroup::AmlRegistry => false,
            EndpointGroup::Blob | EndpointGroup::Dfs | EndpointGroup::ContainerRegistry => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_names_every_target_as_we_do() {
        let ours: Vec<String> = TargetKind::iter().map(|kind| kind.to_string()).collect();
        assert_eq!(ours, ["registry", "storage", "containerRegistry"]);
        for kind in TargetKind::iter() {
            assert_eq!(json!(kind), json!(kind.to_string()));
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }
}
