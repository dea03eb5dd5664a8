//! What stories begin in, other than the demo's Azure.

use azure_sim::Seed;
use azure_sim::seed::AccountSeed;
use serde_json::{Value, json};

use crate::testbed::{REGISTRY, Testbed};

/// Somebody forbids writes on the storage account.
pub fn deny(testbed: &Testbed) {
    let Some(account) = storage(testbed) else { return };
    let id = denial(&account);
    let actions = ["Microsoft.Storage/storageAccounts/write"];
    let body = json!({
        "id": id, "name": "hands-off", "type": "Microsoft.Authorization/denyAssignments",
        "properties": {
            "denyAssignmentName": "hands-off", "scope": account, "doNotApplyToChildScopes": false,
            "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}],
            "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
            "excludePrincipals": [], "isSystemProtected": true,
        },
    });
    testbed.sim.put_by_hand(&id, body);
}

/// The registry's storage account, once there is one.
pub fn storage(testbed: &Testbed) -> Option<String> {
    let targets = testbed
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY));
    targets.into_iter().find(|id| id.contains("/storageAccounts/"))
}

/// And allows them again.
pub fn lift_denial(testbed: &Testbed) {
    if let Some(account) = storage(testbed) {
        testbed.sim.delete_by_hand(&denial(&account));
    }
}

fn denial(account: &str) -> String {
    format!("{account}/providers/Microsoft.Authorization/denyAssignments/0d000000-0000-4000-8000-000000000001")
}

/// Azure accepts changes of the storage account and nothing comes of them, as under a policy that puts them back.
pub fn undo_writes(testbed: &Testbed) {
    let Some(account) = storage(testbed) else { return };
    let body = testbed
        .sim
        .with_world(|world| world.get(&account).map(|it| it.body.clone()));
    let rule = json!({
        "name": UNDONE, "method": "PATCH", "path": format!("*{account}?api-version*"),
        "effect": {"status": {"status": 200, "body": body}},
    });
    testbed.sim.inject(serde_json::from_value(rule).unwrap());
}

const UNDONE: &str = "undone by a policy";

/// How many writes were accepted in vain.
pub fn writes_in_vain(testbed: &Testbed) -> usize {
    let faults = testbed.sim.faults();
    let undone = faults.iter().filter(|fault| fault.rule.name.as_deref() == Some(UNDONE));
    undone.map(|fault| usize::try_from(fault.struck).unwrap()).sum()
}

/// And lets them be.
pub fn let_writes_be(testbed: &Testbed) {
    testbed.sim.clear_faults();
}

/// Whom the storage account lets in beside a subnet.
pub const ADDRESS: &str = "198.51.100.7";

/// A subnet of a client network that the storage account lets in.
pub fn rule_subnet() -> &'static str {
    "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub/subnets/gateway"
}

/// The storage account lets in an address and a subnet with a service endpoint, and nobody else.
pub fn behind_rules(testbed: &Testbed) {
    let Some(account) = storage(testbed) else { return };
    testbed.sim.change_by_hand(rule_subnet(), |body| {
        body["properties"]["serviceEndpoints"] =
            json!([{"service": "Microsoft.Storage", "provisioningState": "Succeeded"}]);
    });
    testbed.sim.change_by_hand(&account, |body| {
        body["properties"]["networkAcls"] = json!({
            "defaultAction": "Deny", "bypass": "AzureServices", "ipRules": [{"value": ADDRESS, "action": "Allow"}],
            "virtualNetworkRules": [{"id": rule_subnet(), "action": "Allow", "state": "Succeeded"}],
        });
    });
}

/// The network's team needs no service endpoint any more.
pub fn take_service_endpoint(testbed: &Testbed) {
    testbed.sim.change_by_hand(rule_subnet(), |body| {
        body["properties"]["serviceEndpoints"] = json!([]);
    });
}

/// Somebody forbids to delete this.
pub fn lock_deletion(testbed: &Testbed, id: &str) {
    let lock = format!("{id}/providers/Microsoft.Authorization/locks/hands-off");
    let body = json!({"id": lock, "name": "hands-off", "properties": {"level": "CanNotDelete"}});
    testbed.sim.put_by_hand(&lock, body);
}

/// Groups that people named in their own language, for endpoints and for zones.
pub fn groups_of_any_alphabet(object: &mut Value) {
    let group = |name: &str| format!("/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/{name}");
    let endpoint = &mut object["spec"]["endpoints"][0];
    endpoint["resourceGroupResourceId"] = group("rg-größe").into();
    endpoint["dns"]["zoneResourceGroupResourceId"] = group("rg-名前").into();
}

/// The ML team has a subscription, a group and a workspace's storage, and no registry yet.
pub fn without_registry(seed: &mut Seed) {
    seed.registries.clear();
    seed.storage_accounts.push(AccountSeed {
        name: "workspacedata".to_owned(),
        subscription: "ml".to_owned(),
        resource_group: "ml".to_owned(),
        location: "westeurope".to_owned(),
        public_network_access: "Enabled".to_owned(),
        hierarchical_namespace: false,
        sku: "Premium".to_owned(),
    });
}

/// With a file system too, so that there are more names and zones; and groups that people named in their own language.
pub fn in_two_regions(seed: &mut Seed) {
    let registry = &mut seed.registries[0];
    registry.additional_locations = vec!["northeurope".to_owned()];
    registry.hierarchical_namespace = true;
    let groups = &mut seed.subscriptions[0].resource_groups;
    for group in ["rg-größe", "rg-名前"] {
        groups.insert(group.to_owned(), "westeurope".to_owned());
    }
}
