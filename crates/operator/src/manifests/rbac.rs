//! Roles and bindings, from the rights that each part of the runtime declares ([`sreg_runtime::rbac`]): rights in one
//! namespace become a Role there, all others a ClusterRole.

use serde_json::{Value, json};
use sreg_runtime::rbac::{AGENT_RULES, OPERATOR_RULES, Rule, Scope};

use super::{Agent, Installation, Manifest, ServiceAccount, labels};

const RBAC: &str = "rbac.authorization.k8s.io";
const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// Begins the names of agents' roles and bindings.
const AGENT: &str = "secure-registry-agent";

/// What the operator may do in the cluster and in its namespace. It is also the agent of the vantage point that is embedded in
/// it, which stands in the operator's own namespace; what an agent may do by name, the operator may do anyway.
pub(super) fn operator(installation: &Installation) -> Manifest {
    let account = &installation.operator;
    let name = &installation.operator_roles;
    let of = |scope: Scope| OPERATOR_RULES.iter().filter(move |rule| rule.scope == scope);
    let embedded = AGENT_RULES
        .iter()
        .filter(|rule| rule.scope == Scope::VantagePointNamespace && rule.resource_name.is_none());
    let mut objects = everywhere(name, account, of(Scope::Cluster), "");
    objects.extend(in_namespace(name, account, of(Scope::OperatorNamespace), ""));
    objects.extend(in_namespace(&format!("{name}-vantage-point"), account, embedded, ""));
    Manifest::new("rbac/operator/operator.yaml", objects)
}

/// What the operator may do where it serves objects: a role, and who has it where.
pub(super) fn served(installation: &Installation) -> [Manifest; 2] {
    let name = format!("{}-served", installation.operator_roles);
    let account = &installation.operator;
    let rules = OPERATOR_RULES.iter().filter(|rule| rule.scope == Scope::Served);
    let role = json!({
        "apiVersion": RBAC_VERSION,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels("rbac")},
        "rules": rules_of(rules, ""),
    });
    let everywhere = json!({"name": name, "labels": labels("rbac")});
    let bindings = match installation.served_namespaces.as_slice() {
        [] => vec![binding("Cluster", &everywhere, "ClusterRole", &name, account)],
        named => {
            let there = |namespace| json!({"name": name, "namespace": namespace, "labels": labels("rbac")});
            let bind = |namespace| binding("", &there(namespace), "ClusterRole", &name, account);
            named.iter().map(bind).collect()
        }
    };
    [
        Manifest::new("rbac/operator/served.yaml", vec![role]),
        Manifest::new("rbac/operator/served-binding.yaml", bindings),
    ]
}

/// What the agents may do.
pub(super) fn agents(installation: &Installation) -> Manifest {
    Manifest::new(
        "rbac/agent/agent.yaml",
        installation.agents.iter().flat_map(agent).collect(),
    )
}

/// One agent: its own VantagePoint, its own namespace.
fn agent(Agent { vantage_point, account }: &Agent) -> Vec<Value> {
    let name = format!("{AGENT}-{vantage_point}");
    let at_home = |rule: &&Rule| rule.scope == Scope::VantagePointNamespace;
    let mut objects = everywhere(
        &name,
        account,
        AGENT_RULES.iter().filter(|rule| !at_home(rule)),
        vantage_point,
    );
    objects.extend(in_namespace(
        &name,
        account,
        AGENT_RULES.iter().filter(at_home),
        vantage_point,
    ));
    objects
}

/// What people may do, for the platform team to bind: reading goes with the cluster's own `view`; declaring, approving, breaking glass
/// and granting with none of its roles: who may do that is said by name. (Whoever edits a registry object decides about public access
/// too, as far as a grant lets its namespace: `publicAccess.desired` is part of its spec.)
pub(super) fn people() -> Manifest {
    let kinds = ["secureregistries", "breakglasses", "changeapprovals"];
    let read = ["get", "list", "watch"];
    let own = ["get", "list", "watch", "create", "delete"];
    let declare = ["create", "update", "patch", "delete"];
    Manifest::new(
        "rbac/people/people.yaml",
        vec![
            role("view", &["view", "edit", "admin"], &[(&kinds, &read)]),
            role(
                "edit",
                &[],
                &[(&["secureregistries"], &read), (&["secureregistries"], &declare)],
            ),
            role(
                "break-glass",
                &[],
                &[(&["breakglasses"], &own), (&["secureregistries"], &read)],
            ),
            role(
                "approve",
                &[],
                &[(&["changeapprovals"], &own), (&["secureregistries"], &read)],
            ),
            // Cluster-scoped: bound by a ClusterRoleBinding. Whoever has it decides what every namespace may do in Azure.
            role(
                "administer",
                &[],
                &[
                    (&["registrygrants", "vantagepoints"], &read),
                    (&["registrygrants", "vantagepoints"], &declare),
                ],
            ),
        ],
    )
}

/// Resources of our group, and verbs.
type Allowed<'a> = (&'a [&'a str], &'a [&'a str]);

fn role(name: &str, added_to: &[&str], allowed: &[Allowed<'_>]) -> Value {
    let mut labels = labels("rbac");
    for role in added_to {
        labels[format!("rbac.authorization.k8s.io/aggregate-to-{role}")] = json!("true");
    }
    let rules: Vec<Value> = allowed
        .iter()
        .map(|(resources, verbs)| json!({"apiGroups": [sreg_api::GROUP], "resources": resources, "verbs": verbs}))
        .collect();
    json!({
        "apiVersion": RBAC_VERSION,
        "kind": "ClusterRole",
        "metadata": {"name": format!("secureregistry-{name}"), "labels": labels},
        "rules": rules,
    })
}

fn everywhere<'a>(
    name: &str,
    account: &ServiceAccount,
    allowed: impl Iterator<Item = &'a Rule>,
    vantage_point: &str,
) -> Vec<Value> {
    let metadata = json!({"name": name, "labels": labels("rbac")});
    role_and_binding("Cluster", &metadata, account, rules_of(allowed, vantage_point))
}

fn in_namespace<'a>(
    name: &str,
    account: &ServiceAccount,
    allowed: impl Iterator<Item = &'a Rule>,
    vantage_point: &str,
) -> Vec<Value> {
    let metadata = json!({"name": name, "namespace": account.namespace, "labels": labels("rbac")});
    role_and_binding("", &metadata, account, rules_of(allowed, vantage_point))
}

/// `prefix` is `Cluster` or nothing.
fn role_and_binding(prefix: &str, metadata: &Value, account: &ServiceAccount, rules: Value) -> Vec<Value> {
    let kind = format!("{prefix}Role");
    let name = metadata["name"].as_str().unwrap_or_default();
    vec![
        json!({"apiVersion": RBAC_VERSION, "kind": kind, "metadata": metadata, "rules": rules}),
        binding(prefix, metadata, &kind, name, account),
    ]
}

/// Gives `role` to an account; `prefix` is `Cluster` or nothing.
fn binding(prefix: &str, metadata: &Value, kind: &str, role: &str, account: &ServiceAccount) -> Value {
    json!({
        "apiVersion": RBAC_VERSION,
        "kind": format!("{prefix}RoleBinding"),
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [account.subject()],
    })
}

fn rules_of<'a>(allowed: impl Iterator<Item = &'a Rule>, vantage_point: &str) -> Value {
    allowed
        .map(
            |Rule {
                 api_group,
                 resources,
                 resource_name,
                 verbs,
                 scope: _,
                 why: _,
             }| {
                let mut rule = json!({"apiGroups": [api_group], "resources": resources, "verbs": verbs});
                if let Some(name) = resource_name {
                    rule["resourceNames"] = json!([name.replace("{vantage-point}", vantage_point)]);
                }
                rule
            },
        )
        .collect()
}
