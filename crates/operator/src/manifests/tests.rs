//! What is generated holds together: it parses, names what stands beside it, and grants nothing that nobody asked for.

use std::collections::BTreeSet;

use super::*;

const EVERY_PART: [Part; 5] = [Part::Crds, Part::Policies, Part::Editor, Part::Rbac, Part::Agent];

fn installation() -> Installation {
    Installation {
        operator: "sreg-system/the-operator".parse().unwrap(),
        operator_roles: "the-operator".to_owned(),
        served_namespaces: Vec::new(),
        agents: vec![
            "hub=vantage-hub/hub-agent".parse().unwrap(),
            "spoke=vantage-spoke/agent".parse().unwrap(),
        ],
    }
}

fn manifests() -> Vec<Manifest> {
    generate(&installation(), &EVERY_PART).unwrap()
}

#[test]
fn what_is_written_reads_back_as_what_was_meant() {
    for manifest in manifests() {
        let text = manifest.text().unwrap();
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(read, manifest.objects, "{}", manifest.path.display());
    }
}

#[test]
fn an_agent_that_shares_its_namespace_is_refused() {
    for namespace in ["sreg-system", "vantage-hub", "default", "kube-system"] {
        let mut shared = installation();
        shared.agents[1] = format!("spoke={namespace}/agent").parse().unwrap();
        let error = generate(&shared, &EVERY_PART).unwrap_err().to_string();
        assert!(
            error.contains(&format!("namespace {namespace} is")) && error.contains("--agent spoke=spoke/agent"),
            "{error}"
        );
    }
}

#[test]
fn every_kustomization_names_only_what_is_there() {
    let manifests = manifests();
    let paths: BTreeSet<&Path> = manifests.iter().map(|manifest| manifest.path.as_path()).collect();
    for manifest in manifests.iter().filter(|manifest| manifest.is_kustomization()) {
        let folder = manifest.path.parent().unwrap();
        for resource in manifest.objects[0]["resources"].as_array().unwrap() {
            let resource = resource.as_str().unwrap();
            let named = match resource.strip_prefix("../") {
                Some(beside) => PathBuf::from(beside).join("kustomization.yaml"),
                None => folder.join(resource),
            };
            assert!(
                paths.contains(named.as_path()),
                "{} names {resource}",
                manifest.path.display()
            );
        }
    }
}

#[test]
fn nobody_is_granted_a_wildcard_a_secret_or_an_update() {
    for manifest in manifests() {
        for rule in manifest
            .objects
            .iter()
            .filter_map(|object| object["rules"].as_array())
            .flatten()
        {
            let text = rule.to_string();
            for forbidden in [
                "\"*\"",
                "secrets",
                "update",
                "deletecollection",
                "impersonate",
                "escalate",
            ] {
                // People replace objects of their own with kubectl; programs of ours apply.
                let people = forbidden == "update" && manifest.path.starts_with("rbac/people");
                assert!(
                    people || !text.contains(forbidden),
                    "{}: {text}",
                    manifest.path.display()
                );
            }
        }
    }
}

#[test]
fn who_may_edit_a_registry_may_not_thereby_open_one() {
    let people = manifests()
        .into_iter()
        .find(|m| m.path.ends_with("people.yaml"))
        .unwrap();
    let added_to_the_clusters_own: Vec<&str> = people
        .objects
        .iter()
        .filter(|role| role["metadata"]["labels"].to_string().contains("aggregate-to"))
        .filter_map(|role| role["metadata"]["name"].as_str())
        .collect();
    assert_eq!(added_to_the_clusters_own, ["secureregistry-view"]);
    for role in people.objects {
        let added = role["metadata"]["labels"].to_string().contains("aggregate-to");
        for rule in role["rules"].as_array().unwrap() {
            let text = rule.to_string();
            let opens = text.contains("breakglasses") || text.contains("changeapprovals");
            assert!(!(added && opens && text.contains("create")), "{role}");
        }
    }
}

#[test]
fn the_operator_is_named_by_every_policy_that_trusts_it() {
    let user = "system:serviceaccount:sreg-system:the-operator";
    let trusting: Vec<String> = manifests()
        .into_iter()
        .filter(|manifest| manifest.path.starts_with("policies") && manifest.text().unwrap().contains(user))
        .map(|manifest| manifest.path.display().to_string())
        .collect();
    assert_eq!(
        trusting,
        [
            "policies/probe-spec.yaml",
            "policies/registry-status.yaml",
            "policies/registry-finalizer.yaml",
            "policies/object-size.yaml",
            "policies/break-glass-status.yaml",
            "policies/approval-status.yaml",
            "policies/grant-status.yaml",
            "policies/operator-leases.yaml",
            "policies/operator-configmaps.yaml",
        ]
    );
}

#[test]
fn a_policy_without_a_binding_would_deny_nothing_so_each_has_one() {
    for manifest in generate(&installation(), &[Part::Policies]).unwrap() {
        if !manifest.is_kustomization() {
            let [policy, binding] = manifest.objects.as_slice() else {
                panic!("{} holds more", manifest.path.display())
            };
            assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
            assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
        }
    }
}

#[test]
fn a_file_of_an_earlier_generation_goes_and_a_persons_own_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = generate(&installation(), &[Part::Agent]).unwrap();
    write(folder.path(), &files(&manifests).unwrap()).unwrap();
    let stale = folder.path().join("rbac/agent/gone.yaml");
    let own = folder.path().join("rbac/agent/own.yaml");
    fs::copy(folder.path().join("rbac/agent/agent.yaml"), &stale).unwrap();
    fs::write(&own, "kind: Role\n").unwrap();
    write(folder.path(), &files(&manifests).unwrap()).unwrap();
    assert!(!stale.exists() && own.exists());
}

#[test]
fn a_service_account_is_written_with_its_namespace() {
    let account: ServiceAccount = "team-a/agent".parse().unwrap();
    assert_eq!(account.user(), "system:serviceaccount:team-a:agent");
    for bad in ["agent", "a/b/c", "/agent", "Team/agent", "a'||true||'/b"] {
        assert!(bad.parse::<ServiceAccount>().is_err(), "{bad}");
    }
}

#[test]
fn an_agent_is_limited_to_its_own_vantage_point() {
    let agents = rbac::agents(&installation()).objects;
    let spoke = agents
        .iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "secure-registry-agent-spoke");
    let rules = &spoke.unwrap()["rules"];
    assert_eq!(rules[0]["resourceNames"], json!(["spoke"]));
    assert!(rules[1].is_null(), "{rules}");
    for bad in ["hub", "=ns/name", "hub=name", "Hub=ns/name"] {
        assert!(bad.parse::<Agent>().is_err(), "{bad}");
    }
}

#[test]
fn what_an_agent_may_do_by_name_the_operator_may_do_anyway() {
    use sreg_runtime::rbac::{AGENT_RULES, OPERATOR_RULES};
    for rule in AGENT_RULES.iter().filter(|rule| rule.resource_name.is_some()) {
        for verb in rule.verbs {
            let covers = |it: &&sreg_runtime::rbac::Rule| {
                it.api_group == rule.api_group
                    && rule.resources.iter().all(|r| it.resources.contains(r))
                    && it.verbs.contains(verb)
            };
            assert!(OPERATOR_RULES.iter().any(|it| covers(&it)), "{verb} {rule:?}");
        }
    }
}

#[test]
fn a_stream_holds_objects_only() {
    let text = to_stream(&manifests()).unwrap();
    assert!(!text.contains("Kustomization"));
    assert!(text.contains("kind: CustomResourceDefinition") && text.contains("kind: ClusterRole\n"));
}

#[test]
fn every_definition_outlives_whoever_installed_it_and_nothing_else_does() {
    for object in manifests().into_iter().flat_map(|manifest| manifest.objects) {
        let kept = object["metadata"]["annotations"] == kept();
        assert_eq!(kept, object["kind"] == "CustomResourceDefinition", "{object}");
    }
}
