//! The rights in Azure that our calls need: one table. The Azure client sends no call whose action is not in it; the roles in
//! `deploy/azure`, the list in `docs/install.md` and the check before the first change of names are made from it.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter};

use crate::objections::matches_action;

/// Where a right is needed: what a role is assigned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter)]
#[strum(serialize_all = "kebab-case")]
pub enum Place {
    /// The machine learning registry.
    Registry,
    /// The resource group that Azure made for the registry's storage accounts and container registry.
    ManagedGroup,
    /// The resource group of the private endpoints.
    Endpoints,
    /// The virtual networks of endpoints and clients, and those that rules of the storage accounts name.
    Networks,
    /// The resource group of the private DNS zones.
    Zones,
    /// The subscriptions of the registry, the endpoints, the zones and the networks: nothing but reading.
    Subscription,
    /// Storage accounts of workspaces, under `spec.sharing`.
    SharedStorage,
    /// The Log Analytics workspace, under `verification.recentPublicClients`.
    Workspace,
}

impl Place {
    /// The name of the role for it, as people see it in the portal.
    pub fn role(self) -> &'static str {
        match self {
            Place::Registry => "Secure Registry Operator: registry",
            Place::ManagedGroup => "Secure Registry Operator: managed resource group",
            Place::Endpoints => "Secure Registry Operator: private endpoints",
            Place::Networks => "Secure Registry Operator: virtual networks",
            Place::Zones => "Secure Registry Operator: private DNS zones",
            Place::Subscription => "Secure Registry Operator: look at a subscription",
            Place::SharedStorage => "Secure Registry Operator: workspace storage",
            Place::Workspace => "Secure Registry Operator: logs",
        }
    }

    /// What its role is assigned on, in words.
    pub fn scope(self) -> &'static str {
        match self {
            Place::Registry => "the registry",
            Place::ManagedGroup => "the registry's managed resource group",
            Place::Endpoints => "the resource group of the endpoints",
            Place::Networks => {
                "the virtual networks of endpoints and clients, and those that network rules of the storage accounts name"
            }
            Place::Zones => "the resource group of the zones",
            Place::Subscription => "the subscriptions of the registry, the endpoints, the zones and the networks",
            Place::SharedStorage => "the storage accounts under spec.sharing, if any",
            Place::Workspace => "the Log Analytics workspace of recentPublicClients, if any",
        }
    }
}

/// One right, and which calls need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Where.
    pub place: Place,
    /// The action, as Azure spells it.
    pub action: &'static str,
    /// What it is needed for.
    pub story: &'static str,
}

/// Reads whether a change may be undone later.
pub const READ_POLICY_ASSIGNMENTS: &str = "Microsoft.Authorization/policyAssignments/read";

/// Puts back a firewall's rule that names a subnet.
pub const JOIN_VIA_SERVICE_ENDPOINT: &str = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action";

const fn right(place: Place, action: &'static str, story: &'static str) -> Right {
    Right { place, action, story }
}

/// Every right.
pub const RIGHTS: &[Right] = &[
    right(
        Place::Registry,
        "Microsoft.MachineLearningServices/registries/read",
        "read the registry, and ask its discovery for hosts",
    ),
    right(
        Place::Registry,
        "Microsoft.MachineLearningServices/registries/write",
        "close and open it, tag it, ask for access to its managed resource group",
    ),
    right(
        Place::Registry,
        "Microsoft.MachineLearningServices/registries/privateEndpointConnectionsApproval/action",
        "connect an endpoint without asking anybody; not needed with approval.mode: Manual",
    ),
    right(
        Place::Registry,
        "Microsoft.Authorization/locks/read",
        "know which lock forbids closing it, and opening it again",
    ),
    right(
        Place::Registry,
        "Microsoft.Authorization/denyAssignments/read",
        "know which deny assignment forbids closing it, and opening it again",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Storage/storageAccounts/read",
        "read the storage accounts",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Storage/storageAccounts/write",
        "close and open them",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Storage/storageAccounts/networkSecurityPerimeterConfigurations/read",
        "know whether a network security perimeter lets somebody in though an account is closed",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action",
        "connect an endpoint without asking anybody; not needed with approval.mode: Manual",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.ContainerRegistry/registries/read",
        "read the container registry",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.ContainerRegistry/registries/write",
        "close and open it",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.ContainerRegistry/registries/privateEndpointConnectionsApproval/action",
        "connect an endpoint without asking anybody; not needed with approval.mode: Manual",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.ContainerRegistry/registries/replications/read",
        "know every region whose data endpoint clients use",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.ContainerRegistry/registries/operationStatuses/read",
        "see how a change of the container registry ends",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Authorization/denyAssignments/read",
        "know before an attempt what is forbidden there, and whether an account could be opened again",
    ),
    right(
        Place::ManagedGroup,
        "Microsoft.Authorization/locks/read",
        "know which lock forbids closing an account, and opening it again",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/read",
        "read endpoints",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/write",
        "make endpoints",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/delete",
        "delete endpoints of ours, with deletionPolicy: DeleteEndpoints or when the spec drops them",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/read",
        "see where an endpoint's records are written",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write",
        "have an endpoint's records written",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/delete",
        "have them removed before the endpoint",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Network/networkInterfaces/read",
        "read an endpoint's addresses",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Resources/tags/read",
        "read an endpoint's tags before they are merged",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Resources/tags/write",
        "put back the owner tag of an endpoint that lost it, keeping everybody else's tags",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Authorization/locks/read",
        "know what a lock keeps from being deleted",
    ),
    right(
        Place::Endpoints,
        "Microsoft.Authorization/denyAssignments/read",
        "know what a deny assignment keeps from being made or deleted",
    ),
    right(
        Place::Networks,
        "Microsoft.Network/virtualNetworks/read",
        "read networks",
    ),
    right(
        Place::Networks,
        "Microsoft.Network/virtualNetworks/subnets/read",
        "read the endpoints' subnets",
    ),
    right(
        Place::Networks,
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "put an endpoint into a subnet",
    ),
    right(
        Place::Networks,
        "Microsoft.Network/virtualNetworks/join/action",
        "link a network to a zone",
    ),
    right(
        Place::Networks,
        JOIN_VIA_SERVICE_ENDPOINT,
        "put back network rules of a storage account that name a subnet, when it is opened again",
    ),
    right(Place::Zones, "Microsoft.Network/privateDnsZones/read", "read zones"),
    right(
        Place::Zones,
        "Microsoft.Network/privateDnsZones/write",
        "make zones, with dns.mode: Managed",
    ),
    right(
        Place::Zones,
        "Microsoft.Network/privateDnsZones/join/action",
        "have an endpoint's records written into a zone",
    ),
    right(
        Place::Zones,
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read",
        "see which networks ask a zone",
    ),
    right(
        Place::Zones,
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks/write",
        "link client networks",
    ),
    right(Place::Zones, "Microsoft.Network/privateDnsZones/A/read", "read records"),
    right(
        Place::Zones,
        "Microsoft.Authorization/locks/read",
        "know what a lock keeps from being written, before an endpoint is made, and from being removed, before its records are",
    ),
    right(
        Place::Zones,
        "Microsoft.Authorization/denyAssignments/read",
        "know before an endpoint is made which deny assignment keeps its records from being written",
    ),
    right(
        Place::Subscription,
        "Microsoft.Authorization/permissions/read",
        "look at these rights before anything is changed",
    ),
    right(
        Place::Subscription,
        READ_POLICY_ASSIGNMENTS,
        "know what would forbid opening again, and what makes zone groups with dns.mode: Policy; without it Azure answers an empty list",
    ),
    right(
        Place::Subscription,
        "Microsoft.Authorization/policyDefinitions/read",
        "understand a policy",
    ),
    right(
        Place::Subscription,
        "Microsoft.Authorization/policySetDefinitions/read",
        "understand an initiative",
    ),
    right(
        Place::Subscription,
        "Microsoft.Authorization/policyExemptions/read",
        "know what is exempt from a policy",
    ),
    right(
        Place::Subscription,
        "Microsoft.Network/privateDnsZones/read",
        "see whom a change of names touches",
    ),
    right(
        Place::Subscription,
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read",
        "see whom a change of names touches",
    ),
    right(
        Place::Subscription,
        "Microsoft.Network/virtualNetworks/read",
        "see which networks a change of names touches, and whom they ask for names",
    ),
    right(
        Place::SharedStorage,
        "Microsoft.Storage/storageAccounts/read",
        "read them",
    ),
    right(
        Place::SharedStorage,
        "Microsoft.Storage/storageAccounts/write",
        "allow the registry there",
    ),
    right(
        Place::Workspace,
        "Microsoft.OperationalInsights/workspaces/read",
        "find the workspace",
    ),
    right(
        Place::Workspace,
        "Microsoft.OperationalInsights/workspaces/query/read",
        "ask it who came from public addresses",
    ),
    right(
        Place::Workspace,
        "Microsoft.OperationalInsights/workspaces/query/*/read",
        "read the tables that the question names",
    ),
];

/// The rights of one place, in the table's order.
pub fn of(place: Place) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| right.place == place)
}

/// Whether the table holds an action. A call whose action is missing here would be missing in everybody's role.
pub fn is_declared(action: &str) -> bool {
    RIGHTS.iter().any(|right| right.action.eq_ignore_ascii_case(action))
}

/// An action of the table as Azure spells it.
pub fn spelled(action: &str) -> Option<&'static str> {
    let mut all = RIGHTS.iter().map(|right| right.action);
    all.find(|known| known.eq_ignore_ascii_case(action))
}

/// What roles allow us on one scope, those above it included, as Azure lists it. Deny assignments are apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions(pub Vec<Permission>);

/// What one role allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Allowed actions, with `*`.
    pub actions: Vec<String>,
    /// Actions taken away again.
    pub not_actions: Vec<String>,
}

impl Permissions {
    /// Everything is allowed.
    pub fn everything() -> Permissions {
        Permissions(vec![Permission {
            actions: vec!["*".to_owned()],
            not_actions: Vec::new(),
        }])
    }

    /// Whether some role allows an action.
    pub fn allow(&self, action: &str) -> bool {
        let holds = |patterns: &[String]| patterns.iter().any(|pattern| matches_action(pattern, action));
        self.0.iter().any(|p| holds(&p.actions) && !holds(&p.not_actions))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn every_place_has_rights_and_no_right_stands_twice() {
        for place in Place::iter() {
            assert!(of(place).next().is_some(), "{place}");
        }
        let distinct: BTreeSet<(Place, String)> = RIGHTS
            .iter()
            .map(|r| (r.place, r.action.to_ascii_lowercase()))
            .collect();
        assert_eq!(distinct.len(), RIGHTS.len());
    }

    #[test]
    fn what_one_role_takes_away_another_may_give() {
        let role = |actions: &[&str], not: &[&str]| Permission {
            actions: actions.iter().map(|a| (*a).to_owned()).collect(),
            not_actions: not.iter().map(|a| (*a).to_owned()).collect(),
        };
        let contributor = role(&["*"], &["Microsoft.Authorization/*/Write"]);
        let only = Permissions(vec![contributor.clone()]);
        assert!(only.allow("Microsoft.Authorization/policyAssignments/read"));
        assert!(!only.allow("Microsoft.Authorization/locks/write"));
        let both = Permissions(vec![contributor, role(&["Microsoft.Authorization/locks/write"], &[])]);
        assert!(both.allow("microsoft.authorization/locks/WRITE"));
        assert!(!Permissions::default().allow("x/read"));
    }
}
