//! The objects of the demo's world, as an administrator would apply them.

use sreg_api::SecureRegistry;

use crate::{NAMESPACE, OPERATOR_NAMESPACE, Vantage};

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

/// ServiceAccount, RBAC binding and `VantagePoint` of one place.
pub fn vantage(vantage: &Vantage, socks5: &str) -> String {
    let Vantage { name, network: _, virtual_network, resolver, embedded } = vantage;
    let (namespace, account) =
        if *embedded { (OPERATOR_NAMESPACE, sreg_api::names::OPERATOR_SERVICE_ACCOUNT) } else { (name.as_str(), name.as_str()) };
    let network = match virtual_network {
        Some(id) => format!("network: VirtualNetwork\n  virtualNetworkResourceId: {id}"),
        None => "network: OnPremises".to_owned(),
    };
    let mut text = format!(
        "---\napiVersion: secureregistry.dev/v1alpha1\nkind: VantagePoint\nmetadata: {{name: {name}}}\nspec:\n  {network}\n  \
         namespace: {namespace}\n  serviceAccountName: {account}\n  socks5Address: {socks5}\n  resolverAddress: {resolver}\n"
    );
    if !embedded {
        text += &agent_account(name);
    }
    text
}

fn agent_account(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {name}}}\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: agent, namespace: {name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: secure-registry-agent}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {name}}}]\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: secure-registry-agent-{name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: secure-registry-vantage-point-reader}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {name}}}]\n"
    )
}

/// State and message of an object: reason and message of its `Ready` condition.
pub fn ready(object: &SecureRegistry) -> (String, String) {
    object
        .status
        .as_ref()
        .and_then(|s| s.conditions.iter().find(|c| c.type_ == "Ready"))
        .map_or_else(|| ("none".to_owned(), "no status yet".to_owned()), |c| (c.reason.clone(), c.message.clone()))
}
