//! Roles and bindings, from the rights that each part of the runtime declares ([`sreg_runtime::rbac`]): rights in one
//! namespace become a Role there, all others a ClusterRole.

use serde_json::{Value, json};
use sreg_runtime::rbac::{AGENT_RULES, OPERATOR_RULES, Rule, Scope};

use super::{Agent, Installation, Manifest, ServiceAccount, labels};

/// Name of the operator's roles and bindings.
const OPERATOR: &str = "secure-registry-operator";
/// Name of what the operator may do as a vantage point.
const EMBEDDED: &str = "secure-registry-operator-vantage-point";
/// Begins the names of agents' roles and bindings.
const AGENT: &str = "secure-registry-agent";

/// What the operator may do. It is also the agent of the vantage point that is embedded in it, which stands in the operator's
/// own namespace; what an agent may do by name, the operator may do anyway.
pub(super) fn operator(installation: &Installation) -> Manifest {
    let account = &installation.operator;
    let at_home = |rule: &&Rule| rule.scope == Scope::OperatorNamespace;
    let embedded = AGENT_RULES
        .iter()
        .filter(|rule| rule.scope == Scope::VantagePointNamespace && rule.resource_name.is_none());
    let mut objects = everywhere(
        OPERATOR,
        account,
        OPERATOR_RULES.iter().filter(|rule| !at_home(rule)),
        "",
    );
    objects.extend(in_namespace(
        OPERATOR,
        account,
        OPERATOR_RULES.iter().filter(at_home),
        "",
    ));
    objects.extend(in_namespace(EMBEDDED, account, embedded, ""));
    Manifest::new("rbac/operator/operator.yaml", objects)
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
        "apiVersion": "rbac.authorization.k8s.io/v1",
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
    role_and_binding("Cluster", &metadata, account, rules(allowed, vantage_point))
}

fn in_namespace<'a>(
    name: &str,
    account: &ServiceAccount,
    allowed: impl Iterator<Item = &'a Rule>,
    vantage_point: &str,
) -> Vec<Value> {
    let metadata = json!({"name": name, "namespace": account.namespace, "labels": labels("rbac")});
    role_and_binding("", &metadata, account, rules(allowed, vantage_point))
}

/// `prefix` is `Cluster` or nothing.
fn role_and_binding(prefix: &str, metadata: &Value, account: &ServiceAccount, rules: Value) -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let kind = format!("{prefix}Role");
    vec![
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": version,
            "kind": format!("{prefix}RoleBinding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": metadata["name"]},
            "subjects": [account.subject()],
        }),
    ]
}

fn rules<'a>(allowed: impl Iterator<Item = &'a Rule>, vantage_point: &str) -> Value {
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
