//! What Azure demands of a firewall rule before it takes the write that names it, whether the rule is new or was there before: a
//! subnet must exist, be settled, have a service endpoint for storage, and the writer must be allowed to join it; an address
//! must be a public one (Microsoft Learn, "Create an IP network rule for Azure Storage").

use serde_json::Value;

use super::answer::ArmError;
use super::call::Call;
use super::path::name_of;
use crate::json::{list, text};
use crate::targets::parse_prefix;

/// Refuses a storage account's rules as a whole where one of them does not do.
pub(crate) fn check(call: &Call<'_>, rules: &Value) -> Result<(), ArmError> {
    for rule in list(rules, "/ipRules") {
        let (value, action) = (text(rule, "/value"), text(rule, "/action"));
        if !is_public_range(value) || !["", "Allow"].contains(&action) {
            let said = "Values for request parameters are invalid: networkAcls.ipRule[*].value. For more information, see - \
                        https://aka.ms/storagenetworkruleset";
            return Err(ArmError::new(400, "InvalidValuesForRequestParameters", said));
        }
    }
    check_subnets(call, rules)
}

/// A single public address, or a public range of more than two.
fn is_public_range(value: &str) -> bool {
    let small = value.contains('/') && parse_prefix(value).is_none_or(|(_, bits)| bits > 30);
    parse_prefix(value)
        .is_some_and(|(base, _)| !small && !base.is_private() && !base.is_loopback() && !base.is_unspecified())
}

/// Refuses rules where one of their subnets does not do.
fn check_subnets(call: &Call<'_>, rules: &Value) -> Result<(), ArmError> {
    for rule in list(rules, "/virtualNetworkRules") {
        let id = text(rule, "/id");
        let own = ("Microsoft.Storage/storageAccounts/write", call.path.text.as_str());
        call.require_linked(
            "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
            id,
            own,
        )?;
        let network = id
            .to_ascii_lowercase()
            .find("/subnets/")
            .and_then(|at| id.get(..at))
            .unwrap_or(id);
        let Some(subnet) = call.world.get(id) else {
            return Err(refused(format!(
                "SubnetsNotFound:Subnets {} of virtual network {network} were not found.",
                name_of(id)
            )));
        };
        if text(&subnet.body, "/properties/provisioningState") == "Updating" {
            return Err(refused(format!(
                "SubnetsNotProvisioned:Cannot proceed with operation because subnets {} of the virtual network {network} \
                 are not provisioned. They are in Updating state.",
                name_of(id)
            )));
        }
        let serves = |endpoint: &Value| {
            text(endpoint, "/service")
                .to_ascii_lowercase()
                .starts_with("microsoft.storage")
        };
        if !list(&subnet.body, "/properties/serviceEndpoints").iter().any(serves) {
            return Err(refused(format!(
                "SubnetsHaveNoServiceEndpointsConfigured:Subnets {} of virtual network {network} do not have \
                 ServiceEndpoints for Microsoft.Storage resources configured. Add Microsoft.Storage to subnet's \
                 ServiceEndpoints collection before trying to ACL Microsoft.Storage resources to these subnets..",
                name_of(id)
            )));
        }
    }
    Ok(())
}

fn refused(why: String) -> ArmError {
    let said = format!("Validation of network acls failure: {why}");
    ArmError::new(400, "NetworkAclsValidationFailure", said)
}
