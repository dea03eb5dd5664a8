//! What the chart renders, and what it refuses.

use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE, RELEASE};
use crate::{chart, documents, examples, is, key, repository};

/// A chart's own values beside those of an example.
fn example(name: &str) -> String {
    std::fs::read_to_string(chart().join("examples").join(format!("{name}.yaml"))).unwrap()
}

/// Folders of templates that `secure-registry-operator crd --chart` writes.
const GENERATED: [&str; 4] = ["crds", "policies", "editor", "rbac"];

fn deployment<'a>(objects: &'a [Value], component: &str) -> &'a Value {
    let found = objects.iter().find(|object| {
        object["kind"] == "Deployment" && object["metadata"]["labels"]["app.kubernetes.io/component"] == component
    });
    found.unwrap_or_else(|| panic!("no Deployment of {component}"))
}

fn pod(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

#[test]
fn every_example_renders_what_is_committed() {
    let helm = Helm::new(4);
    let goldens = repository().join("tests/tests/chart/goldens");
    let mut cases: Vec<(String, String)> = examples()
        .into_iter()
        .map(|name| (name.clone(), example(&name)))
        .collect();
    cases.push(("defaults".to_owned(), String::new()));
    for (name, values) in cases {
        // Definitions are long, and compared with `deploy/crds` elsewhere.
        let values = match values.contains("crds:") {
            true => values,
            false => format!("{values}\ncrds: {{install: false}}\n"),
        };
        let mut rendered = helm.render(&values);
        if name != "everything" {
            // What follows from code is the same everywhere but for names, and those one golden shows.
            let ours = |part: &&str| {
                !GENERATED
                    .iter()
                    .any(|folder| part.contains(&format!("/templates/{folder}/")))
            };
            rendered = rendered.split_inclusive("\n---\n").filter(ours).collect();
        }
        is(&goldens.join(format!("{name}.yaml")), &rendered);
    }
}

#[test]
fn both_helms_render_the_same_objects() {
    let [new, old] = Helm::both();
    for name in examples() {
        let [mut new, mut old] = [&new, &old].map(|helm| documents(&helm.render(&example(&name))));
        new.sort_by_key(key);
        old.sort_by_key(key);
        assert_eq!(new, old, "{name}");
    }
}

#[test]
fn every_helm_finds_nothing_to_complain_about() {
    for helm in Helm::both() {
        for name in examples() {
            let values = chart().join("examples").join(format!("{name}.yaml"));
            let output = helm.run(
                None,
                &[
                    "lint",
                    "--strict",
                    "--kube-version=1.37.2",
                    chart().to_str().unwrap(),
                    "--values",
                    values.to_str().unwrap(),
                ],
            );
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "Helm {}, {name}: {said}", helm.major);
        }
    }
}

#[test]
fn values_that_make_no_sense_are_refused_with_what_is_wrong() {
    let cases = [
        ("image: {tag: latest}", "tag"),
        ("image: {repository: secure-registry-operator}", "repository"),
        ("image: {digest: sha256:0a}", "digest"),
        ("operator: {replica: 2}", "replica"),
        ("operator: {extraArgs: [concurrency=4]}", "extraArgs"),
        ("azure: {tenantId: contoso}", "tenantId"),
        ("azure: {credential: ClientSecret}", "secretName"),
        ("azure: {cloud: AzureGermany}", "cloud"),
        ("grants: [{name: ml}]", "spec"),
        ("grants: [{name: ml, spec: {}}]", "namespaces"),
        ("vantagePoints: [{name: hub}]", "spec"),
        ("vantagePoints: [{name: Hub, spec: {network: OnPremises}}]", "name"),
        (
            "vantagePoints: [{name: hub, spec: {network: OnPremises}}, {name: hub, namespace: other, spec: {network: OnPremises}}]",
            "hub is there twice",
        ),
        (
            "vantagePoints: [{name: hub, namespace: secure-registry-system, spec: {network: OnPremises}}]",
            "namespace secure-registry-system is the operator's, another agent's or the cluster's own",
        ),
        (
            "vantagePoints: [{name: hub, namespace: default, spec: {network: OnPremises}}]",
            "give it a namespace of its own, such as hub",
        ),
        (
            "vantagePoints: [{name: hub, spec: {network: OnPremises}}, {name: spoke, namespace: hub, spec: {network: OnPremises}}]",
            "spoke: namespace hub is",
        ),
        (
            "vantagePoints: [{name: a, runBy: Operator, spec: {network: OnPremises}}, {name: b, runBy: Operator, spec: {network: OnPremises}}]",
            "a and b are both run by the operator",
        ),
        (
            "vantagePoints: [{name: a, runBy: Operator, namespace: a, spec: {network: OnPremises}}]",
            "leave out namespace",
        ),
        (
            "operator: {enabled: false}\nvantagePoints: [{name: a, runBy: Operator, spec: {network: OnPremises}}]",
            "operator.enabled is false",
        ),
    ];
    for helm in Helm::both() {
        for (values, says) in cases {
            let said = helm.template(RELEASE, NAMESPACE, values).unwrap_err();
            assert!(said.contains(says), "Helm {}: {values}: {said}", helm.major);
        }
    }
}

#[test]
fn policies_and_bindings_follow_the_chosen_names() {
    let helm = Helm::new(4);
    let values = "operator: {serviceAccount: {name: keeper}}\ncrds: {install: false}\n";
    let rendered = helm.template("other", "1234", values).unwrap();
    let user = "system:serviceaccount:1234:keeper";
    let mut policies = 0;
    for object in documents(&rendered) {
        let text = object.to_string();
        // A ServiceAccount of the name that nobody chose would be trusted by nobody's decision.
        assert!(!text.contains("serviceaccount:secure-registry"), "{text}");
        assert!(!text.contains(NAMESPACE), "{text}");
        if object["kind"] == "ValidatingAdmissionPolicy" && text.contains("system:serviceaccount:1234") {
            assert!(text.contains(user), "{text}");
            policies += 1;
        }
        if object["kind"].as_str().unwrap().ends_with("Binding") && object["subjects"].is_array() {
            let subject = json!([{"kind": "ServiceAccount", "name": "keeper", "namespace": "1234"}]);
            assert_eq!(object["subjects"], subject);
            assert!(
                object["metadata"]["name"]
                    .as_str()
                    .unwrap()
                    .starts_with("other-secure-registry-operator"),
                "{text}"
            );
        }
    }
    assert_eq!(policies, 9);
}

#[test]
fn another_cloud_is_told_to_operator_and_agents_and_in_the_token_of_the_operator() {
    let helm = Helm::new(4);
    for cloud in [
        sreg_domain::BuiltInCloud::AzurePublic,
        sreg_domain::BuiltInCloud::AzureUSGovernment,
        sreg_domain::BuiltInCloud::AzureChina,
    ] {
        let values = format!(
            "azure: {{cloud: {cloud}}}\nvantagePoints: [{{name: hub, spec: {{network: OnPremises}}}}]\ncrds: {{install: false}}"
        );
        let objects = documents(&helm.render(&values));
        for component in ["operator", "agent"] {
            let container = &pod(deployment(&objects, component))["containers"][0];
            let told = container["env"]
                .as_array()
                .unwrap()
                .contains(&json!({"name": "SREG_AZURE_CLOUD", "value": cloud.to_string()}));
            assert_eq!(told, cloud != sreg_domain::BuiltInCloud::AzurePublic, "{component}");
        }
        let audience = pod(deployment(&objects, "operator"))
            .pointer("/volumes/0/projected/sources/0/serviceAccountToken/audience");
        let expected = cloud.cloud().unwrap().token_exchange_audience;
        assert_eq!(audience, Some(&json!(expected)));
    }
}

#[test]
fn an_agent_is_given_no_identity_in_azure_and_no_pod_a_token_unasked() {
    let helm = Helm::new(4);
    let objects = documents(&helm.render(&example("agents")));
    let text = deployment(&objects, "agent").to_string();
    for azure in [
        "azure.workload.identity",
        "AZURE_",
        "AzureADTokenExchange",
        "serviceAccountToken\"",
    ] {
        assert!(!text.contains(azure), "{azure}: {text}");
    }
    for account in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], json!(false), "{account}");
    }
    for component in ["operator", "agent"] {
        assert_eq!(
            pod(deployment(&objects, component))["automountServiceAccountToken"],
            json!(true)
        );
    }
    // One that reports to another cluster has no business with this one's API server.
    let objects = documents(&helm.render(&example("other-cluster")));
    assert_eq!(
        pod(deployment(&objects, "agent"))["automountServiceAccountToken"],
        json!(false)
    );
    assert!(
        !objects.iter().any(|object| key(object).contains("Role")),
        "it has no rights here"
    );
}

#[test]
fn operator_and_agents_know_every_variable_that_the_chart_sets() {
    let program = sreg_testkit::binary_path("secure-registry-operator").unwrap();
    let helm = Helm::new(4);
    for (example_name, component, command) in [
        ("everything", "operator", "run"),
        ("agents", "operator", "run"),
        ("everything", "agent", "agent"),
        ("other-cluster", "agent", "agent"),
    ] {
        let output = std::process::Command::new(&program)
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        // Lines are broken anywhere.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let objects = documents(&helm.render(&example(example_name)));
        let container = &pod(deployment(&objects, component))["containers"][0];
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            // Read by libraries and by the process itself, not by a flag.
            let others = ["POD_NAME", "HTTPS_PROXY", "NO_PROXY", "KUBECONFIG", "TZ"];
            assert!(
                others.contains(&name) || help.contains(&format!("[env: {name}=")),
                "{command} reads no {name}: {help}"
            );
        }
        for flag in container["args"].as_array().unwrap().iter().skip(1) {
            let flag = flag.as_str().unwrap().split('=').next().unwrap();
            assert!(help.contains(flag), "{command} has no {flag}");
        }
    }
}

#[test]
fn what_is_granted_stands_in_the_values_and_nothing_is_granted_by_default() {
    let helm = Helm::new(4);
    let grants = |values: &str| {
        let objects = documents(&helm.render(values));
        objects
            .iter()
            .filter(|object| object["kind"] == "RegistryGrant")
            .count()
    };
    assert_eq!(grants(""), 0);
    assert_eq!(grants(&example("agents")), 1);
}
