//! Parses the places for private endpoints and who makes their names resolve.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::SecureRegistrySpec;
use sreg_api::registry::{DnsMode, DnsSpec, EndpointSpec, PolicyAssignments, ZoneIds};
use sreg_domain::desired::{Dns, EndpointPlace};
use sreg_domain::{ArmId, Cloud, EndpointGroup, naming};

use super::{Checks, VNET_SHAPE, request_message, tags};

const SUBNET_SHAPE: &str = "a subnet: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/virtualNetworks/VNET/subnets/SUBNET";
const GROUP_SHAPE: &str = "a resource group: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP";

/// All entries that could be parsed; what is wrong with the others is in `checks`.
pub(super) fn endpoints(spec: &SecureRegistrySpec, cloud: &Cloud, checks: &mut Checks) -> Vec<EndpointPlace> {
    let (specs, common) = (&spec.endpoints, &spec.tags);
    let registry = spec.registry.resource_id.rsplit('/').next().unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut places = Vec::new();
    for spec in specs {
        let path = format!("spec.endpoints[{}]", spec.name);
        if !names.insert(spec.name.as_str()) {
            checks.refuse(&path, "two entries have this name: give each its own");
        }
        places.extend(endpoint(&path, spec, (common, registry), cloud, checks));
    }
    subnets_apart(&places, checks);
    zones_apart(&places, checks);
    places
}

fn endpoint(
    path: &str,
    spec: &EndpointSpec,
    (common, registry): (&BTreeMap<String, String>, &str),
    cloud: &Cloud,
    checks: &mut Checks,
) -> Option<EndpointPlace> {
    let subnet = checks.id(
        format!("{path}.subnetResourceId"),
        &spec.subnet_resource_id,
        "microsoft.network/virtualnetworks/subnets",
        SUBNET_SHAPE,
    )?;
    let virtual_network = subnet.parent()?;
    let own_group = virtual_network.resource_group_id()?;
    let resource_group = match &spec.resource_group_resource_id {
        Some(text) => checks.id(
            format!("{path}.resourceGroupResourceId"),
            text,
            "resourcegroups",
            GROUP_SHAPE,
        )?,
        None => own_group.clone(),
    };
    // azure.md §1.6: "not permitted" in the managed group.
    if resource_group
        .resource_group()
        .is_some_and(|name| name.starts_with("azureml-rg-"))
    {
        checks.refuse(
            format!("{path}.resourceGroupResourceId"),
            "must not be the registry's managed resource group: Azure does not permit private endpoints there; name the virtual network's or the workspace's group",
        );
    }
    let dns = dns(path, spec.dns.as_ref(), &virtual_network, own_group, cloud, checks)?;
    Some(EndpointPlace {
        name: spec.name.clone(),
        subnet,
        virtual_network,
        resource_group,
        manual_request: request_message(spec),
        dns,
        name_template: name_template(path, spec, registry, checks),
        tags: tags::merged(common, &spec.tags),
    })
}

/// A template whose names are unique, found again after any crash, and taken by Azure.
fn name_template(path: &str, spec: &EndpointSpec, registry: &str, checks: &mut Checks) -> Option<String> {
    let template = spec.name_template.as_ref()?;
    let path = format!("{path}.nameTemplate");
    let longest = naming::rendered(template, registry, &spec.name, "amlregistry", "0123456789");
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let separated = ["-{hash}", "_{hash}", ".{hash}"]
        .iter()
        .any(|end| template.ends_with(end));
    if !separated || template.matches("{hash}").count() != 1 {
        checks.refuse(&path, "must end with {hash} after a -, _ or ., such as pe-{registry}-{group}-{hash}: names have to be unique and found again");
    } else if !longest.chars().all(legal) || !longest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        checks.refuse(&path, format!("gives names such as {longest:?}: write letters, digits, -, _, . and the placeholders {{registry}}, {{group}}, {{entry}}, {{hash}}, a letter or digit first"));
    } else if longest.len() > 64 {
        checks.refuse(
            &path,
            format!(
                "gives names of up to {} characters ({longest}): Azure takes 64",
                longest.len()
            ),
        );
    }
    Some(template.clone())
}

fn dns(
    path: &str,
    spec: Option<&DnsSpec>,
    own: &ArmId,
    own_group: ArmId,
    cloud: &Cloud,
    checks: &mut Checks,
) -> Option<Dns> {
    let spec = spec.cloned().unwrap_or_default();
    let path = format!("{path}.dns");
    let mode = spec.mode.unwrap_or_default();
    let ours = matches!(mode, DnsMode::Managed | DnsMode::Existing);
    if (mode == DnsMode::Existing) != spec.private_dns_zone_resource_ids.is_some() {
        checks.refuse(
            &path,
            "set privateDnsZoneResourceIds (registry, blob, containerRegistry) if, and only if, mode is Existing",
        );
    }
    if spec.zone_resource_group_resource_id.is_some() && mode != DnsMode::Managed {
        checks.refuse(
            &path,
            "zoneResourceGroupResourceId belongs to mode Managed: remove it, or set mode: Managed",
        );
    }
    if !ours && (spec.link_virtual_networks.is_some() || spec.resolution_policy.is_some()) {
        checks.refuse(
            &path,
            "linkVirtualNetworks and resolutionPolicy belong to modes Managed and Existing: with Policy and External somebody else links zones",
        );
    }
    if spec.policy_assignments.is_some() && mode != DnsMode::Policy {
        checks.refuse(
            &path,
            "policyAssignments belongs to mode Policy: remove it, or set mode: Policy",
        );
    }
    let zones = match mode {
        DnsMode::Managed => {
            let group = match &spec.zone_resource_group_resource_id {
                Some(text) => checks.id(
                    format!("{path}.zoneResourceGroupResourceId"),
                    text,
                    "resourcegroups",
                    GROUP_SHAPE,
                )?,
                None => own_group,
            };
            EndpointGroup::all()
                .map(|g| (g, group.provider("Microsoft.Network/privateDnsZones", &cloud.zone(g))))
                .collect()
        }
        DnsMode::Existing => existing_zones(&path, spec.private_dns_zone_resource_ids.as_ref(), cloud, checks),
        DnsMode::Policy | DnsMode::External => BTreeMap::new(),
    };
    let links = match (&spec.link_virtual_networks, ours) {
        (Some(ids), true) => links(&path, ids, checks),
        (None, true) => vec![own.clone()],
        (_, false) => Vec::new(),
    };
    Some(Dns {
        mode,
        zones,
        links,
        resolution_policy: spec.resolution_policy.unwrap_or_default(),
        policies_assumed: spec.policy_assignments == Some(PolicyAssignments::Assume),
    })
}

fn links(path: &str, ids: &[String], checks: &mut Checks) -> Vec<ArmId> {
    let mut links: Vec<ArmId> = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let at = format!("{path}.linkVirtualNetworks[{at}]");
        if let Some(id) = checks.id(at, id, "microsoft.network/virtualnetworks", VNET_SHAPE)
            && !links.contains(&id)
        {
            links.push(id);
        }
    }
    links
}

fn existing_zones(
    path: &str,
    ids: Option<&ZoneIds>,
    cloud: &Cloud,
    checks: &mut Checks,
) -> BTreeMap<EndpointGroup, ArmId> {
    let mut zones = BTreeMap::new();
    let Some(ZoneIds {
        registry,
        blob,
        dfs,
        container_registry,
    }) = ids
    else {
        return zones;
    };
    let named = [
        ("registry", EndpointGroup::AmlRegistry, Some(registry)),
        ("blob", EndpointGroup::Blob, Some(blob)),
        ("dfs", EndpointGroup::Dfs, dfs.as_ref()),
        (
            "containerRegistry",
            EndpointGroup::ContainerRegistry,
            Some(container_registry),
        ),
    ];
    for (field, group, id) in named {
        let Some(id) = id else { continue };
        let path = format!("{path}.privateDnsZoneResourceIds.{field}");
        let zone = cloud.zone(group);
        match id.parse::<ArmId>() {
            Ok(id) if id.kind() == "microsoft.network/privatednszones" && id.name().eq_ignore_ascii_case(&zone) => {
                zones.insert(group, id);
            }
            Ok(_) | Err(_) => checks.refuse(
                path,
                format!("{id:?} must be the ARM id of the zone {zone}: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/privateDnsZones/{zone}"),
            ),
        }
    }
    zones
}

/// Endpoints are named by target and subnet: two entries with one subnet would be the same endpoints.
fn subnets_apart(places: &[EndpointPlace], checks: &mut Checks) {
    for (at, place) in places.iter().enumerate() {
        if let Some(other) = places.iter().take(at).find(|other| other.subnet == place.subnet) {
            checks.refuse(
                format!("spec.endpoints[{}].subnetResourceId", place.name),
                format!(
                    "entry {} already stands in this subnet: one set of endpoints there is enough, remove one entry",
                    other.name
                ),
            );
        }
    }
}

/// Two endpoints in one zone overwrite each other's records (azure.md §4.3).
fn zones_apart(places: &[EndpointPlace], checks: &mut Checks) {
    for (at, place) in places.iter().enumerate() {
        for other in places.iter().take(at) {
            let shared = place
                .dns
                .zones
                .values()
                .find(|zone| other.dns.zones.values().any(|z| z == *zone));
            if let Some(zone) = shared {
                checks.refuse(
                    format!("spec.endpoints[{}].dns", place.name),
                    format!(
                        "shares the private DNS zone {zone} with entry {}: they would overwrite each other's records. Give one its own zones (dns.zoneResourceGroupResourceId, or other privateDnsZoneResourceIds), or use one endpoint with peering",
                        other.name
                    ),
                );
            }
        }
    }
}
