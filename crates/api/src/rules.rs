//! The CEL rules as data: each with the sentence that the API server answers, which says what to write instead. Every
//! rule has a test (`tests/validation.rs` locally, `tests/tests/api_rules` on a real server).

/// An ML registry's ARM id.
pub(crate) const REGISTRY_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]MachineLearningServices/registries/[a-z0-9][-a-z0-9_]{1,32}$')";
/// What to write instead.
pub(crate) const REGISTRY_ID_SAYS: &str = "must be the ARM id of an ML registry: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.MachineLearningServices/registries/NAME";

/// A virtual network's ARM id.
pub(crate) const VNET_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]Network/virtualNetworks/[-a-z0-9_.]{1,64}$')";
/// What to write instead.
pub(crate) const VNET_ID_SAYS: &str = "must be the ARM id of a virtual network: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/virtualNetworks/NAME";

/// A list of virtual networks' ARM ids.
pub(crate) const VNET_IDS: &str = r"self.all(id, id.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]Network/virtualNetworks/[-a-z0-9_.]{1,64}$'))";

/// A subnet's ARM id.
pub(crate) const SUBNET_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]Network/virtualNetworks/[-a-z0-9_.]{1,64}/subnets/[-a-z0-9_.]{1,80}$')";
/// What to write instead.
pub(crate) const SUBNET_ID_SAYS: &str = "must be the ARM id of a subnet: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/virtualNetworks/VNET/subnets/SUBNET";

/// A resource group's ARM id that is not a managed one.
pub(crate) const GROUP_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}$')";
/// What to write instead.
pub(crate) const GROUP_ID_SAYS: &str =
    "must be the ARM id of a resource group: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP";
/// Private endpoints are not permitted in the registry's managed group (azure.md §1.6).
pub(crate) const NOT_MANAGED_GROUP: &str = "!self.lowerAscii().contains('/resourcegroups/azureml-rg-')";
/// What to write instead.
pub(crate) const NOT_MANAGED_GROUP_SAYS: &str = "must not be the registry's managed resource group: Azure does not permit private endpoints there; name the virtual network's or the workspace's group";

/// A private DNS zone's ARM id.
pub(crate) const ZONE_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]Network/privateDnsZones/privatelink[.][-a-z0-9.]{1,200}$')";
/// What to write instead.
pub(crate) const ZONE_ID_SAYS: &str = "must be the ARM id of a privatelink zone: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/privateDnsZones/privatelink.SUFFIX";

/// An account that may stand behind a registry.
pub(crate) const ACCOUNT_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/]{1,90}/providers/(Microsoft[.]Storage/storageAccounts/[a-z0-9]{3,24}|Microsoft[.]ContainerRegistry/registries/[a-z0-9]{5,50})$')";
pub(crate) const ACCOUNT_ID_SAYS: &str = "must be the ARM id of a storage account or container registry: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/NAME (or Microsoft.ContainerRegistry/registries/NAME)";

/// A storage account's ARM id, for each item.
pub(crate) const STORAGE_IDS: &str = r"self.all(id, id.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]Storage/storageAccounts/[a-z0-9]{3,24}$'))";

/// DNS mode and its zone fields, per endpoint.
pub(crate) const DNS_EXISTING: &str =
    "(has(self.mode) && self.mode == 'Existing') == has(self.privateDnsZoneResourceIds)";
/// What to write instead.
pub(crate) const DNS_EXISTING_SAYS: &str =
    "set privateDnsZoneResourceIds (registry, blob, containerRegistry) if, and only if, mode is Existing";
/// Only Managed creates zones.
pub(crate) const DNS_MANAGED: &str =
    "!has(self.zoneResourceGroupResourceId) || !has(self.mode) || self.mode == 'Managed'";
/// What to write instead.
pub(crate) const DNS_MANAGED_SAYS: &str =
    "zoneResourceGroupResourceId belongs to mode Managed: remove it, or set mode: Managed";
/// Only Policy looks for policies.
pub(crate) const DNS_POLICY: &str = "!has(self.policyAssignments) || (has(self.mode) && self.mode == 'Policy')";
/// What to write instead.
pub(crate) const DNS_POLICY_SAYS: &str = "policyAssignments belongs to mode Policy: remove it, or set mode: Policy";
/// Links are ours to make only in Managed and Existing mode.
pub(crate) const DNS_LINKS: &str = "!has(self.mode) || self.mode in ['Managed', 'Existing'] || (!has(self.linkVirtualNetworks) && !has(self.resolutionPolicy))";
/// What to write instead.
pub(crate) const DNS_LINKS_SAYS: &str = "linkVirtualNetworks and resolutionPolicy belong to modes Managed and Existing: with Policy and External somebody else links zones";

/// Whether endpoint `$e` has zones that the operator makes.
#[rustfmt::skip]
macro_rules! managed {
    ($e:literal) => {
        concat!("(!has(", $e, ".dns) || !has(", $e, ".dns.mode) || ", $e, ".dns.mode == 'Managed')")
    };
}
/// The resource group that holds the zones of a Managed endpoint: the one named, else the virtual network's. Lower-cased.
#[rustfmt::skip]
macro_rules! zone_group {
    ($e:literal) => {
        concat!(
            "(has(", $e, ".dns) && has(", $e, ".dns.zoneResourceGroupResourceId) ? ",
            $e, ".dns.zoneResourceGroupResourceId.lowerAscii() : ",
            $e, ".subnetResourceId.lowerAscii().substring(0, ", $e, ".subnetResourceId.lowerAscii().indexOf('/providers/')))"
        )
    };
}
/// Whether endpoint `$e` names zones.
#[rustfmt::skip]
macro_rules! existing {
    ($e:literal) => {
        concat!("(has(", $e, ".dns) && has(", $e, ".dns.privateDnsZoneResourceIds))")
    };
}
/// The zone of kind `$kind` that endpoint `$e` names, lower-cased.
#[rustfmt::skip]
macro_rules! zone {
    ($e:literal, $kind:literal) => {
        concat!($e, ".dns.privateDnsZoneResourceIds.", $kind, ".lowerAscii()")
    };
}

// The server estimates what a rule can cost at worst, and refuses definitions that may cost too much. Strings below `self`
// have a known length; what `split` gives, or a member of a computed list, counts as of any length, and may only be compared
// with one whose length is known. So ids of networks are bounded by 300, and are lower-cased once, not once per comparison.

/// Two Managed endpoints may not share the group that their zones are made in (one would overwrite the other's records).
#[rustfmt::skip]
pub(crate) const MANAGED_ZONES_APART: &str = concat!(
    "self.endpoints.all(a, !", managed!("a"), " || self.endpoints.exists_one(b, ", managed!("b"), " && ",
    zone_group!("b"), " == ", zone_group!("a"), "))"
);
/// What to write instead.
pub(crate) const MANAGED_ZONES_APART_SAYS: &str = "two endpoints would share private DNS zones and overwrite each other's records: give each its own dns.zoneResourceGroupResourceId, or use one endpoint with peering";
/// Nor may two endpoints name the same existing zone.
#[rustfmt::skip]
pub(crate) const EXISTING_ZONES_APART: &str = concat!(
    "self.endpoints.all(a, !", existing!("a"), " || self.endpoints.exists_one(b, ", existing!("b"), " && (",
    zone!("a", "registry"), " == ", zone!("b", "registry"), " || ",
    zone!("a", "blob"), " == ", zone!("b", "blob"), " || ",
    zone!("a", "containerRegistry"), " == ", zone!("b", "containerRegistry"), " || ",
    "(has(a.dns.privateDnsZoneResourceIds.dfs) && has(b.dns.privateDnsZoneResourceIds.dfs) && ",
    zone!("a", "dfs"), " == ", zone!("b", "dfs"), "))))"
);
/// What to write instead.
pub(crate) const EXISTING_ZONES_APART_SAYS: &str = "two endpoints name the same private DNS zone and would overwrite each other's records: name another zone for one of them, or use one endpoint with peering";
/// Nor may one endpoint make the zones that another one names.
#[rustfmt::skip]
pub(crate) const MADE_ZONES_NOT_NAMED: &str = concat!(
    "self.endpoints.all(a, !", managed!("a"), " || self.endpoints.all(b, !", existing!("b"), " || !(",
    zone!("b", "registry"), ".startsWith(", zone_group!("a"), " + '/providers/') || ",
    zone!("b", "blob"), ".startsWith(", zone_group!("a"), " + '/providers/') || ",
    zone!("b", "containerRegistry"), ".startsWith(", zone_group!("a"), " + '/providers/'))))"
);

/// Every network whose names we change must be proven or waived: the networks named in linkVirtualNetworks.
pub(crate) const LINKED_ARE_CLIENTS: &str = "self.endpoints.all(e, !has(e.dns) || !has(e.dns.linkVirtualNetworks) || e.dns.linkVirtualNetworks.map(v, v.lowerAscii()).all(l, self.clientNetworks.exists(c, has(c.virtualNetworkResourceId) && c.virtualNetworkResourceId.lowerAscii() == l) || (has(self.unprovenNetworks) && self.unprovenNetworks.exists(u, u.virtualNetworkResourceId.lowerAscii() == l))))";
/// The same where linkVirtualNetworks is absent: the endpoint's own network is linked.
pub(crate) const OWN_NETWORK_IS_CLIENT: &str = "self.endpoints.all(e, (has(e.dns) && (has(e.dns.linkVirtualNetworks) || (has(e.dns.mode) && !(e.dns.mode in ['Managed', 'Existing'])))) || self.clientNetworks.exists(c, has(c.virtualNetworkResourceId) && e.subnetResourceId.lowerAscii().startsWith(c.virtualNetworkResourceId.lowerAscii() + '/subnets/')) || (has(self.unprovenNetworks) && self.unprovenNetworks.exists(u, e.subnetResourceId.lowerAscii().startsWith(u.virtualNetworkResourceId.lowerAscii() + '/subnets/'))))";
/// What to write instead.
pub(crate) const LINKED_ARE_CLIENTS_SAYS: &str = "every virtual network whose DNS is changed must be proven or waived: list it under clientNetworks with a vantage point, or under unprovenNetworks with a reason";

/// A network is proven or waived, not both.
pub(crate) const CLIENT_OR_WAIVED: &str = "!has(self.unprovenNetworks) || self.unprovenNetworks.all(u, !self.clientNetworks.exists(c, has(c.virtualNetworkResourceId) && c.virtualNetworkResourceId.lowerAscii() == u.virtualNetworkResourceId.lowerAscii()))";
/// What to write instead.
pub(crate) const CLIENT_OR_WAIVED_SAYS: &str = "a virtual network is listed under clientNetworks, which proves it, and under unprovenNetworks, which waives it: remove it from one of them";

/// A client network that picks its endpoint picks one that is there.
pub(crate) const CLIENT_ENDPOINT: &str =
    "self.clientNetworks.all(c, !has(c.endpoint) || self.endpoints.exists(e, e.name == c.endpoint))";
/// What to write instead.
pub(crate) const CLIENT_ENDPOINT_SAYS: &str = "clientNetworks[].endpoint must be the name of an entry of endpoints: correct it, or remove it to let the linked entry be taken";

/// Locking needs somewhere to prove from and something to prove; looking needs neither.
pub(crate) const LOCK_NEEDS_CLIENTS: &str = "(has(self.managementPolicy) && self.managementPolicy == 'Observe') || !has(self.publicAccess) || !has(self.publicAccess.desired) || self.publicAccess.desired != 'Disabled' || (size(self.endpoints) > 0 && size(self.clientNetworks) > 0)";
/// What to write instead.
pub const LOCK_NEEDS_CLIENTS_SAYS: &str = "a registry is made private only after clients were proven to reach it: list at least one entry under endpoints and one under clientNetworks; to only look at the registry meanwhile, set managementPolicy: Observe";

/// How a duration is written, for CEL: with so few digits per unit that no sum of them overflows.
macro_rules! written {
    () => {
        "^([0-9]{1,9}(ms|s)|[0-9]{1,5}(m|h))+$"
    };
}
/// A duration between two others: the rule and its one sentence. Texts that are no durations are refused by the same sentence.
macro_rules! duration_between {
    ($(#[$doc:meta])* $rule:ident, $says:ident, $bounds:ident: $least:literal to $most:literal) => {
        $(#[$doc])*
        pub(crate) const $rule: &str = concat!(
            "self.matches('", written!(), "') && duration(self) >= duration('", $least,
            "') && duration(self) <= duration('", $most, "')"
        );
        /// What to write instead.
        pub(crate) const $says: &str = concat!(
            "must be a duration between ", $least, " and ", $most, ", written like 90s, 10m or 1h30m"
        );
        /// The same for whoever checks without CEL.
        pub const $bounds: DurationBounds = DurationBounds { least: $least, most: $most, says: $says };
    };
}
/// Between which durations a field may lie, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationBounds {
    /// The shortest.
    pub least: &'static str,
    /// The longest.
    pub most: &'static str,
    /// What to write instead of anything else.
    pub says: &'static str,
}
duration_between!(
    /// A pace of attempts that neither floods nor sleeps.
    INTERVAL, INTERVAL_SAYS, INTERVAL_BOUNDS: "100ms" to "10m"
);
duration_between!(
    /// Evidence that is still evidence: proven today is not proven now.
    MAX_AGE, MAX_AGE_SAYS, MAX_AGE_BOUNDS: "1s" to "2h"
);
duration_between!(
    /// Caches hold former answers for a while, never for days; and without any pause nobody's cache is waited for.
    DNS_SETTLE, DNS_SETTLE_SAYS, DNS_SETTLE_BOUNDS: "1s" to "24h"
);
duration_between!(
    /// How far back logs are asked for clients: as long as workspaces commonly keep them.
    LOOK_BACK, LOOK_BACK_SAYS, LOOK_BACK_BOUNDS: "1m" to "2160h"
);
duration_between!(
    /// A window opens by the minute, and at least once a week is enough for anybody.
    WINDOW_LENGTH, WINDOW_LENGTH_SAYS, WINDOW_LENGTH_BOUNDS: "1m" to "168h"
);
duration_between!(
    /// How long after the lock a lost path may open it again.
    GRACE_PERIOD, GRACE_PERIOD_SAYS, GRACE_PERIOD_BOUNDS: "1s" to "24h"
);
duration_between!(
    /// Visits of a settled object.
    DRIFT_INTERVAL, DRIFT_INTERVAL_SAYS, DRIFT_INTERVAL_BOUNDS: "1s" to "24h"
);

/// Evidence must be able to live as long as a proof takes. What is no duration is refused where it stands.
#[rustfmt::skip]
pub(crate) const PROOF_FITS: &str = concat!(
    "!self.maxAge.matches('", written!(), "') || !self.interval.matches('", written!(), "') || ",
    "duration(self.maxAge).getSeconds() * 1000 + duration(self.maxAge).getMilliseconds() % 1000 >= self.consecutiveSuccesses * (duration(self.interval).getSeconds() * 1000 + duration(self.interval).getMilliseconds() % 1000)"
);
/// What to write instead.
pub(crate) const PROOF_FITS_SAYS: &str =
    "maxAge must be at least consecutiveSuccesses × interval: raise maxAge or lower the interval";

/// A client network says what it is, once.
pub(crate) const CLIENT_NETWORK: &str = "has(self.virtualNetworkResourceId) != has(self.onPremises)";
/// What to write instead.
pub(crate) const CLIENT_NETWORK_SAYS: &str = "set exactly one of virtualNetworkResourceId and onPremises";

/// A window is needed where one is waited for.
pub(crate) const WINDOW: &str = "(has(self.waitFor) && 'Window' in self.waitFor) == has(self.window)";
/// What to write instead.
pub(crate) const WINDOW_SAYS: &str =
    "set lockdown.window (schedule, timeZone, duration) if, and only if, waitFor contains Window";

/// A request message is read by whoever approves by hand.
pub(crate) const REQUEST_MESSAGE: &str = "!has(self.requestMessage) || self.mode == 'Manual'";
/// What to write instead.
pub(crate) const REQUEST_MESSAGE_SAYS: &str = "requestMessage belongs to mode Manual: remove it, or set mode: Manual";

/// A Log Analytics workspace's ARM id.
pub(crate) const WORKSPACE_ID: &str = r"self.matches('(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[^/<>%&?#:\\s]{1,90}/providers/Microsoft[.]OperationalInsights/workspaces/[-a-z0-9]{4,63}$')";
/// What to write instead.
pub(crate) const WORKSPACE_ID_SAYS: &str = "must be the ARM id of a Log Analytics workspace: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.OperationalInsights/workspaces/NAME";

/// Names of tags; what Azure forbids besides is said by the operator.
pub(crate) const TAG_NAMES: &str = "self.all(name, size(name) > 0 && size(name) <= 512)";
/// What to write instead.
pub(crate) const TAG_NAMES_SAYS: &str = "names of tags have 1 to 512 characters";

/// Names of objects that become values of labels, and parts of other names.
pub(crate) const SHORT_NAME: &str = "self.metadata.name.size() <= 63";
/// What to write instead.
pub(crate) const SHORT_NAME_SAYS: &str = "metadata.name has at most 63 characters: create it under a shorter name";

/// The scope of a grant: an ARM id, whole; a name in it holds no wildcard.
macro_rules! scope {
    () => {
        r"'(?i)^/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/resourceGroups/[^/<>%&?#*:\\s]{1,90}(/providers/[a-z.]{3,80}(/[a-z]{3,60}/[^/<>%&?#*:\\s]{1,90}){1,2})?)?$'"
    };
}
/// A scope.
pub(crate) const SCOPE: &str = concat!("self.matches(", scope!(), ")");
/// The same for each item.
pub(crate) const SCOPES: &str = concat!("self.all(id, id.matches(", scope!(), "))");
/// What to write instead.
pub(crate) const SCOPE_SAYS: &str = "must be the ARM id of a subscription, a resource group or a resource, such as /subscriptions/SUBSCRIPTION/resourceGroups/GROUP, without wildcards: it covers what it names and whatever stands below";

/// A grant names somebody.
pub(crate) const GRANTED_NAMESPACES: &str =
    "(has(self.names) && size(self.names) > 0) || (has(self.matchLabels) && size(self.matchLabels) > 0)";
/// What to write instead.
pub(crate) const GRANTED_NAMESPACES_SAYS: &str =
    "name at least one namespace (names) or one label (matchLabels): a grant without serves nobody";

/// A DNS-1123 subdomain.
pub(crate) const DNS_SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A DNS-1123 label.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Names of private endpoints with placeholders, the hash as their last word.
pub(crate) const NAME_TEMPLATE: &str =
    "^([A-Za-z0-9]|[{](registry|group|entry)[}])([-A-Za-z0-9_.]|[{](registry|group|entry)[}])*[-_.][{]hash[}]$";
