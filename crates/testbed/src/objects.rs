//! The objects of the demo's world, as an administrator would apply them.

use anyhow::{Context, Result};
use sreg_api::SecureRegistry;

use crate::{NAMESPACE, OPERATOR_NAMESPACE, Vantage, repository};

/// ServiceAccount of an agent, as the committed RBAC has it; each agent has a namespace of its own.
pub const AGENT_SERVICE_ACCOUNT: &str = "secure-registry-agent";

/// Registry of `examples/azure/demo.yaml`.
pub const REGISTRY: &str = "contoso-models";

/// Namespaces of the objects, of the operator and of each agent.
pub fn namespaces(vantages: &[Vantage]) -> String {
    [NAMESPACE, OPERATOR_NAMESPACE]
        .into_iter()
        .chain(vantages.iter().filter(|v| !v.embedded).map(|v| v.name.as_str()))
        .map(|name| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"))
        .collect()
}

/// `VantagePoint` of one place, with the committed RBAC of its agent.
pub fn vantage(vantage: &Vantage, socks5: &str) -> Result<String> {
    let Vantage {
        name,
        network: _,
        virtual_network,
        resolver,
        embedded,
    } = vantage;
    let (namespace, account) = if *embedded {
        (OPERATOR_NAMESPACE, sreg_api::names::OPERATOR_SERVICE_ACCOUNT)
    } else {
        (name.as_str(), AGENT_SERVICE_ACCOUNT)
    };
    let network = match virtual_network {
        Some(id) => format!("network: VirtualNetwork\n  virtualNetworkResourceId: {id}"),
        None => "network: OnPremises".to_owned(),
    };
    let mut text = format!(
        "---\napiVersion: secureregistry.dev/v1alpha1\nkind: VantagePoint\nmetadata: {{name: {name}}}\nspec:\n  {network}\n  \
         namespace: {namespace}\n  serviceAccountName: {account}\n  socks5Address: {socks5}\n  resolverAddress: {resolver}\n"
    );
    if !embedded {
        text += &agent_account(name)?;
    }
    Ok(text)
}

/// The committed RBAC of an agent, moved to the namespace of this one: as the install guide has people do.
fn agent_account(name: &str) -> Result<String> {
    let committed = repository().join("deploy/rbac/agent/agent.yaml");
    let rbac = std::fs::read_to_string(&committed).with_context(|| format!("read {}", committed.display()))?;
    let moved = rbac.replace("secure-registry-agents", name).replace(
        "kind: ClusterRoleBinding\nmetadata:\n  labels:\n    app.kubernetes.io/component: rbac\n    app.kubernetes.io/name: secure-registry-operator\n  name: secure-registry-agent",
        &format!("kind: ClusterRoleBinding\nmetadata:\n  name: secure-registry-agent-{name}"),
    );
    let account = format!(
        "\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {AGENT_SERVICE_ACCOUNT}, namespace: {name}}}\n"
    );
    Ok(format!("{account}---\n{}", moved.trim_start_matches("---")))
}

/// State and message of an object: reason and message of its `Ready` condition.
pub fn ready(object: &SecureRegistry) -> (String, String) {
    object
        .status
        .as_ref()
        .and_then(|s| s.conditions.iter().find(|c| c.type_ == "Ready"))
        .map_or_else(
            || ("none".to_owned(), "no status yet".to_owned()),
            |c| (c.reason.clone(), c.message.clone()),
        )
}
