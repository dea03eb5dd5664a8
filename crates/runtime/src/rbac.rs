//! Exactly what each part may do, as data: the shipped ClusterRoles are generated from it, and the whole-binary tests run
//! under them. A rule that nobody uses is a right too many; one that is missing shows in the first test.

/// Where a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In the whole cluster, or for cluster-scoped kinds.
    Cluster,
    /// In the namespaces that are served: everywhere, unless the operator was limited to some.
    Served,
    /// In the operator's own namespace.
    OperatorNamespace,
    /// In a vantage point's namespace.
    VantagePointNamespace,
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty for the core group.
    pub api_group: &'static str,
    /// Plurals, subresources as `plural/subresource`.
    pub resources: &'static [&'static str],
    /// Limits the rule to one object; `{vantage-point}` stands for the vantage point's name. `None`: all of them.
    pub resource_name: Option<&'static str>,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// Which part of the code needs it, and what for.
    pub why: &'static str,
}

impl Rule {
    /// Whether a Role in the operator's namespace is enough.
    pub fn namespaced_to_operator(&self) -> bool {
        self.scope == Scope::OperatorNamespace
    }
}

const GROUP: &str = sreg_api::GROUP;

const fn rule(
    api_group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    scope: Scope,
    why: &'static str,
) -> Rule {
    Rule {
        api_group,
        resources,
        resource_name: None,
        verbs,
        scope,
        why,
    }
}

/// What the operator's ServiceAccount may do. Its embedded vantage point has [`AGENT_RULES`] besides.
pub const OPERATOR_RULES: &[Rule] = &[
    rule(
        GROUP,
        &["secureregistries"],
        &["get", "list", "watch"],
        Scope::Served,
        "its watch; observe and requests read the object live",
    ),
    rule(
        GROUP,
        &["secureregistries"],
        &["patch"],
        Scope::Served,
        "act: the finalizer, by apply",
    ),
    rule(
        GROUP,
        &["secureregistries/status"],
        &["patch"],
        Scope::Served,
        "report: status, by apply",
    ),
    rule(
        GROUP,
        &["breakglasses", "changeapprovals"],
        &["list", "watch"],
        Scope::Served,
        "triggers; observe; requests watch them",
    ),
    rule(
        GROUP,
        &["breakglasses/status", "changeapprovals/status"],
        &["patch"],
        Scope::Served,
        "requests: tell each how it stands, by apply",
    ),
    rule(
        GROUP,
        &["vantagepoints"],
        &["get", "list", "watch"],
        Scope::Cluster,
        "triggers; observe",
    ),
    rule(
        GROUP,
        &["registrygrants"],
        &["list", "watch"],
        Scope::Cluster,
        "triggers; reconcile and the fence list them live",
    ),
    rule(
        GROUP,
        &["registrygrants/status"],
        &["patch"],
        Scope::Cluster,
        "grants: tells each how it is understood, by apply",
    ),
    rule(
        "",
        &["namespaces"],
        &["get", "list"],
        Scope::Cluster,
        "grants: labels of the namespace, where a grant chooses by label; which namespaces a grant serves, told in its status",
    ),
    rule(
        GROUP,
        &["connectivityprobes"],
        &["get", "list", "watch", "create", "patch", "delete"],
        Scope::Cluster,
        "triggers; observe lists them by label over all vantage points' namespaces; act applies and deletes them there",
    ),
    rule(
        "coordination.k8s.io",
        &["leases"],
        &["get"],
        Scope::Cluster,
        "observe: whether agents live",
    ),
    rule(
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "patch", "delete"],
        Scope::OperatorNamespace,
        "act: claims on Azure registries (create, patch, delete); leader election (create, patch)",
    ),
    rule(
        "",
        &["configmaps"],
        &["get", "create", "patch", "delete"],
        Scope::OperatorNamespace,
        "act: snapshots of what was before a lock, and what external DNS must answer; observe reads both back",
    ),
    rule(
        "events.k8s.io",
        &["events"],
        &["create", "patch"],
        Scope::Served,
        "report: events on transitions",
    ),
];

/// What a vantage point's ServiceAccount may do; `{vantage-point}` is the name of its `VantagePoint`.
pub const AGENT_RULES: &[Rule] = &[
    Rule {
        api_group: GROUP,
        resources: &["vantagepoints"],
        resource_name: Some("{vantage-point}"),
        verbs: &["list", "watch"],
        scope: Scope::Cluster,
        why: "its own place; the watch carries a field selector on metadata.name, which is what makes the name limit apply",
    },
    rule(
        GROUP,
        &["connectivityprobes"],
        &["list", "watch"],
        Scope::VantagePointNamespace,
        "what to prove",
    ),
    rule(
        GROUP,
        &["connectivityprobes/status"],
        &["patch"],
        Scope::VantagePointNamespace,
        "what was found, by apply",
    ),
    rule(
        "coordination.k8s.io",
        &["leases"],
        &["create"],
        Scope::VantagePointNamespace,
        "that it lives; a create knows no name",
    ),
    Rule {
        api_group: "coordination.k8s.io",
        resources: &["leases"],
        resource_name: Some("vantage-point-{vantage-point}"),
        verbs: &["patch"],
        scope: Scope::VantagePointNamespace,
        why: "that it lives, by apply",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_may_write_what_another_part_answers_for() {
        let writes = |rule: &&Rule| rule.verbs.iter().any(|verb| !["get", "list", "watch"].contains(verb));
        let operator: Vec<_> = OPERATOR_RULES
            .iter()
            .filter(writes)
            .flat_map(|rule| rule.resources)
            .collect();
        assert!(
            !operator.contains(&&"connectivityprobes/status"),
            "evidence is written by agents only"
        );
        assert!(
            !operator.contains(&&"changeapprovals") && !operator.contains(&&"breakglasses"),
            "people write those"
        );
        let agent: Vec<_> = AGENT_RULES
            .iter()
            .filter(writes)
            .flat_map(|rule| rule.resources)
            .collect();
        assert!(
            !agent.contains(&&"connectivityprobes"),
            "questions are written by the operator only"
        );
    }

    #[test]
    fn no_rule_is_a_wildcard() {
        for rule in OPERATOR_RULES.iter().chain(AGENT_RULES) {
            assert!(
                !rule.verbs.contains(&"*") && !rule.resources.contains(&"*") && rule.api_group != "*",
                "{rule:?}"
            );
        }
    }
}
