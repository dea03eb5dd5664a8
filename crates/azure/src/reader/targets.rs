//! The accounts behind a registry: their network side (azure.md §5).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sreg_domain::seen::{ContainerRegistryDetails, Fact, StorageDetails, TargetDetails, TargetSeen};
use sreg_domain::target::kind_of;
use sreg_domain::{ArmId, EndpointGroup, Fqdn, Location, NetworkRule, RuleKind, TargetKind};

use super::{Look, understood, unseen};
use crate::arm::Call;
use crate::arm::Leaving;
use crate::json;

/// An account, and all its `properties`: policies judge by any of them.
pub(super) type Read = (TargetSeen, Value);

/// One account of either kind.
pub(super) async fn account(access: &Look<'_>, look: &Look<'_>, id: ArmId) -> Fact<Read> {
    match kind_of(&id) {
        Some(TargetKind::Storage) => storage(access, id).await,
        Some(TargetKind::ContainerRegistry) => container_registry(access, look, id).await,
        Some(TargetKind::Registry) | None => Fact::not_read("it is no account"),
    }
}

/// One storage account.
pub(super) async fn storage(look: &Look<'_>, id: ArmId) -> Fact<Read> {
    let read = |body: &Value| Ok((storage_of(&id, body)?, body["properties"].clone()));
    look.fact(&id, read).await
}

/// One container registry with its replicas.
pub(super) async fn container_registry(access: &Look<'_>, look: &Look<'_>, id: ArmId) -> Fact<Read> {
    let list = Call::list(look.arm(), &id, "replications");
    let (body, replications) = futures::join!(access.read(&id), look.list(list));
    let body = match body {
        Ok(body) => body,
        Err(error) => return unseen(error),
    };
    let (passing, replicas) = match replications {
        Ok(items) => {
            let (passing, made): (Vec<Value>, Vec<Value>) = items.into_iter().partition(comes_or_goes);
            let passing = passing.iter().filter_map(|item| json::text(item, "/location"));
            (passing.map(Location::from).collect(), replicas(&id, &body, &made))
        }
        Err(error) => (Vec::new(), Fact::Unknown(error.into_ignorance())),
    };
    let seen = container_registry_of(&id, &body, replicas, passing);
    understood(&id, seen.map(|seen| (seen, body["properties"].clone())))
}

fn storage_of(asked: &ArmId, body: &Value) -> Result<TargetSeen, &'static str> {
    let properties = body
        .get("properties")
        .filter(|p| p.is_object())
        .ok_or("the account has no properties")?;
    let rules = |kind: RuleKind| rules(body, "networkAcls", kind);
    let mut ip_rules = rules(RuleKind::Ip);
    ip_rules.extend(rules(RuleKind::Ipv6));
    let names = [
        (EndpointGroup::Blob, host(body, "/properties/primaryEndpoints/blob")?),
        (EndpointGroup::Dfs, host(body, "/properties/primaryEndpoints/dfs")?),
    ];
    let details = StorageDetails {
        hierarchical_namespace: properties["isHnsEnabled"].as_bool().unwrap_or(false),
        secondary_hosts: [
            host(body, "/properties/secondaryEndpoints/blob")?,
            host(body, "/properties/secondaryEndpoints/dfs")?,
        ]
        .into_iter()
        .flatten()
        .collect(),
        shared_keys: properties.get("allowSharedKeyAccess").and_then(Value::as_bool) != Some(false),
    };
    Ok(TargetSeen {
        id: json::id(body, "/id").unwrap_or_else(|| asked.clone()),
        public_network_access: json::word(body, "/properties/publicNetworkAccess"),
        default_action: json::word(body, "/properties/networkAcls/defaultAction"),
        bypass: json::string(body, "/properties/networkAcls/bypass"),
        ip_rules,
        virtual_network_rules: rules(RuleKind::Subnet),
        resource_access_rules: rules(RuleKind::Resource),
        names: names
            .into_iter()
            .filter_map(|(group, name)| Some((group, name?)))
            .collect(),
        provisioning_state: json::word(body, "/properties/provisioningState"),
        private_endpoints: super::endpoints::connected(body),
        network: json!({
            "publicNetworkAccess": properties.get("publicNetworkAccess"),
            "networkAcls": properties.get("networkAcls"),
        }),
        digest: json::digest(body),
        details: TargetDetails::Storage(details),
    })
}

fn container_registry_of(
    asked: &ArmId,
    body: &Value,
    replicas: Fact<Vec<Location>>,
    passing: Vec<Location>,
) -> Result<TargetSeen, &'static str> {
    let properties = body
        .get("properties")
        .filter(|p| p.is_object())
        .ok_or("the container registry has no properties")?;
    let hosts = json::list(body, "/properties/dataEndpointHostNames").iter();
    let data_endpoints: Option<Vec<Fqdn>> = hosts.map(|h| h.as_str()?.parse().ok()).collect();
    let is = |field: &str, expected: bool| properties.get(field).and_then(Value::as_bool) == Some(expected);
    let details = ContainerRegistryDetails {
        data_endpoints: data_endpoints.ok_or("a data endpoint's name is none")?,
        replicas,
        replicas_in_passing: passing,
        tasks_kept_out: is("networkRuleBypassAllowedForTasks", false),
        anonymous_pull: is("anonymousPullEnabled", true),
        admin_user: is("adminUserEnabled", true),
        export_policy: json::word(body, "/properties/policies/exportPolicy/status"),
    };
    let login_server = json::fqdn(body, "/properties/loginServer");
    Ok(TargetSeen {
        id: json::id(body, "/id").unwrap_or_else(|| asked.clone()),
        public_network_access: json::word(body, "/properties/publicNetworkAccess"),
        default_action: json::word(body, "/properties/networkRuleSet/defaultAction"),
        bypass: json::string(body, "/properties/networkRuleBypassOptions"),
        ip_rules: rules(body, "networkRuleSet", RuleKind::Ip),
        // Stable versions between 2021-09-01 and 2025-11-01 do not name this list; a service may show it all the same (azure.md §5.2, U37).
        virtual_network_rules: rules(body, "networkRuleSet", RuleKind::Subnet),
        resource_access_rules: Vec::new(),
        names: login_server
            .map(|name| (EndpointGroup::ContainerRegistry, name))
            .into_iter()
            .collect(),
        provisioning_state: json::word(body, "/properties/provisioningState"),
        private_endpoints: super::endpoints::connected(body),
        network: json!({
            "publicNetworkAccess": properties.get("publicNetworkAccess"),
            "networkRuleSet": properties.get("networkRuleSet"),
        }),
        digest: json::digest(body),
        details: TargetDetails::ContainerRegistry(details),
    })
}

/// Rules of one list. One that cannot be read still is a rule: nothing may look closed because of it.
fn rules(body: &Value, set: &str, kind: RuleKind) -> Vec<String> {
    let mut lists = RuleKind::LISTS.into_iter().filter(|(of, _)| *of == kind);
    let entries = lists
        .next()
        .map(|(_, list)| json::list(body, &format!("/properties/{set}/{list}")));
    let rules = entries.into_iter().flatten();
    rules.map(|entry| NetworkRule::of_entry(kind, entry).value).collect()
}

/// The host of an endpoint URL.
fn host(body: &Value, pointer: &str) -> Result<Option<Fqdn>, &'static str> {
    let Some(url) = json::text(body, pointer).filter(|u| !u.is_empty()) else {
        return Ok(None);
    };
    super::addresses::host_of(url)
        .map(Some)
        .ok_or("an endpoint of the account has no host")
}

/// Azure is still adding it, or already removing it. One without a region is left to [`replicas`], which says so.
fn comes_or_goes(item: &Value) -> bool {
    let state = json::text(item, "/properties/provisioningState").unwrap_or_default();
    let is = ["Creating", "Deleting"].iter().any(|s| state.eq_ignore_ascii_case(s));
    is && json::text(item, "/location").is_some()
}

/// Regions that hold a replica, the home region included.
fn replicas(id: &ArmId, body: &Value, items: &[Value]) -> Fact<Vec<Location>> {
    let home = json::text(body, "/location").map(Location::from);
    let listed = items
        .iter()
        .map(|item| json::text(item, "/location").map(Location::from));
    let all: Option<BTreeSet<Location>> = listed.chain([home]).collect();
    understood(
        id,
        all.map(|set| set.into_iter().collect())
            .ok_or("a replica has no location"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ArmId {
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
            .parse()
            .unwrap()
    }

    #[test]
    fn a_storage_accounts_network_side_is_read_and_kept_for_the_snapshot() {
        let acls = json!({"defaultAction": "Deny", "bypass": "AzureServices", "ipRules": [{"value": "1.2.3.4"}, {"odd": 1}],
            "virtualNetworkRules": [{"id": "net"}], "resourceAccessRules": [{"resourceId": "r"}], "ipv6Rules": [{"value": "::1"}]});
        let body = json!({"properties": {"networkAcls": acls, "isHnsEnabled": true, "primaryEndpoints": {
            "blob": "https://a.blob.core.windows.net/", "dfs": "https://a.dfs.core.windows.net/"}}});
        let seen = storage_of(&id(), &body).unwrap();
        assert_eq!(seen.ip_rules, ["1.2.3.4", r#"{"odd":1}"#, "::1"]);
        assert_eq!(seen.network, json!({"publicNetworkAccess": null, "networkAcls": acls}));
        assert_eq!(seen.names[&EndpointGroup::Dfs].as_str(), "a.dfs.core.windows.net");
        let details = seen.storage().unwrap();
        assert!(details.hierarchical_namespace && details.secondary_hosts.is_empty());
        let secondary = json!({"blob": "https://a-secondary.blob.core.windows.net/", "queue": "https://a-secondary.queue.core.windows.net/"});
        let geo = storage_of(&id(), &json!({"properties": {"secondaryEndpoints": secondary}})).unwrap();
        assert_eq!(
            geo.storage()
                .unwrap()
                .secondary_hosts
                .iter()
                .map(Fqdn::as_str)
                .collect::<Vec<_>>(),
            ["a-secondary.blob.core.windows.net"]
        );
        assert!(storage_of(&id(), &json!({})).is_err());
        assert!(storage_of(&id(), &json!({"properties": {"primaryEndpoints": {"blob": "::"}}})).is_err());
    }

    #[test]
    fn replicas_include_the_home_region_once() {
        let body = json!({"location": "West Europe", "properties": {}});
        let items = [json!({"location": "northeurope"}), json!({"location": "westeurope"})];
        let Fact::Seen(all) = replicas(&id(), &body, &items) else {
            panic!()
        };
        assert_eq!(all, [Location::from("northeurope"), Location::from("westeurope")]);
        assert!(replicas(&id(), &body, &[json!({})]).ignorance().is_some());
        let in_state = |state: &str| json!({"location": "northeurope", "properties": {"provisioningState": state}});
        let passes = |state: &str| comes_or_goes(&in_state(state));
        assert!(passes("Creating") && passes("deleting") && !passes("Succeeded") && !passes("Failed"));
        let seen = container_registry_of(
            &id(),
            &json!({"properties": {"dataEndpointHostNames": ["bad name"]}}),
            Fact::Absent,
            Vec::new(),
        );
        assert!(seen.is_err());
    }
}
