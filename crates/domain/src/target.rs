//! Kinds of target, one row each, and the private-link groups that reach them (azure.md §3.2).

use serde::{Deserialize, Serialize};
use sreg_api::probe::ProbeService;
pub use sreg_api::status::TargetKind;
use strum::{EnumIter, IntoEnumIterator};

use crate::ids::ArmId;

/// What Azure calls a kind of target, and what closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRow {
    /// Its resource type, as Azure spells it. Actions on it begin with that.
    pub resource_type: &'static str,
    /// As people call it.
    pub noun: &'static str,
    /// Name of the rule set among its network settings.
    pub rule_set: Option<&'static str>,
    /// It is closed too where its rule set denies everybody and excepts nobody by address or network (azure.md §1.7).
    pub closes_by_deny: bool,
}

/// The row of a kind.
pub const fn row(kind: TargetKind) -> KindRow {
    match kind {
        TargetKind::Registry => KindRow {
            resource_type: "Microsoft.MachineLearningServices/registries",
            noun: "registry",
            rule_set: None,
            closes_by_deny: false,
        },
        TargetKind::Storage => KindRow {
            resource_type: "Microsoft.Storage/storageAccounts",
            noun: "storage account",
            rule_set: Some("networkAcls"),
            closes_by_deny: true,
        },
        TargetKind::ContainerRegistry => KindRow {
            resource_type: "Microsoft.ContainerRegistry/registries",
            noun: "container registry",
            rule_set: Some("networkRuleSet"),
            closes_by_deny: false,
        },
    }
}

/// The kind of target that an id names; `None`: it names something else, or what stands below a target.
pub fn kind_of(id: &ArmId) -> Option<TargetKind> {
    let mut segments = id.key().rsplit('/').skip(1);
    let (kind, namespace) = (segments.next()?, segments.next()?);
    let at_top = segments.next() == Some("providers");
    let is = |target: &TargetKind| {
        let named = row(*target).resource_type.split_once('/');
        named.is_some_and(|(n, k)| n.eq_ignore_ascii_case(namespace) && k.eq_ignore_ascii_case(kind))
    };
    TargetKind::iter().filter(|_| at_top).find(is)
}

/// Whether only a target's settings tell which groups lead to it.
pub fn has_optional_group(kind: TargetKind) -> bool {
    EndpointGroup::iter().any(|group| group.target() == kind && group.is_optional())
}

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
    /// Every group, by target.
    pub fn all() -> impl Iterator<Item = EndpointGroup> {
        EndpointGroup::iter()
    }

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

    /// Whether a target of its kind may lack it.
    pub fn is_optional(self) -> bool {
        match self {
            EndpointGroup::Dfs => true,
            EndpointGroup::AmlRegistry | EndpointGroup::Blob | EndpointGroup::ContainerRegistry => false,
        }
    }

    /// What the name is called that Azure reports for it.
    pub fn name_noun(self) -> &'static str {
        match self {
            EndpointGroup::AmlRegistry => "host",
            EndpointGroup::Blob => "blob host",
            EndpointGroup::Dfs => "dfs host",
            EndpointGroup::ContainerRegistry => "login server",
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

    #[test]
    fn an_id_tells_the_kind_of_target() {
        let of = |text: &str| kind_of(&text.parse().unwrap());
        let group = "/subscriptions/s/resourceGroups/g/providers";
        for kind in TargetKind::iter() {
            let id = format!("{group}/{}/a", row(kind).resource_type);
            assert_eq!(of(&id), Some(kind));
            assert_eq!(of(&id.to_uppercase()), Some(kind));
            assert_eq!(of(&format!("{id}/below/b")), None);
        }
        assert_eq!(of(&format!("{group}/Microsoft.Network/virtualNetworks/n")), None);
        assert_eq!(of("/subscriptions/s/resourceGroups/g"), None);
    }
}
