//! Kustomize renders the same objects as the chart: each overlay of `deploy/overlays` has an example of values.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::helm::Helm;
use crate::{chart, documents, key, repository};

/// What `kubectl kustomize` makes of a folder below `deploy`.
fn kustomize(folder: &str) -> Vec<Value> {
    let output = Command::new(sreg_testkit::assets().unwrap().join("kubectl"))
        .arg("kustomize")
        .arg(repository().join("deploy").join(folder))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).unwrap())
}

/// By kind, namespace and name.
fn by_key(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        let key = key(&object);
        assert!(found.insert(key.clone(), object).is_none(), "{key} is there twice");
    }
    found
}

/// Where two values first differ. Kustomize writes 10.0 as 10, which is the same number.
fn difference(at: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(of_one), Value::Object(of_other)) => {
            let keys: BTreeSet<&String> = of_one.keys().chain(of_other.keys()).collect();
            keys.into_iter()
                .find_map(|key| difference(&format!("{at}.{key}"), &one[key.as_str()], &other[key.as_str()]))
        }
        (Value::Array(of_one), Value::Array(of_other)) if of_one.len() == of_other.len() => {
            let mut pairs = of_one.iter().zip(of_other).enumerate();
            pairs.find_map(|(place, (one, other))| difference(&format!("{at}[{place}]"), one, other))
        }
        (Value::Number(_), Value::Number(_)) if one.as_f64() == other.as_f64() => None,
        _ => (one != other).then(|| format!("{at}: {one} and {other}")),
    }
}

fn same(what: &str, kustomized: Vec<Value>, values: &str) {
    let rendered = Helm::new(4).render(&format!("namespace: {{create: true}}\n{values}"));
    let (kustomized, rendered) = (by_key(kustomized), by_key(documents(&rendered)));
    let [of_one, of_other] = [&kustomized, &rendered].map(|objects| objects.keys().collect::<Vec<_>>());
    assert_eq!(of_one, of_other, "{what}");
    for (key, object) in &kustomized {
        assert_eq!(difference("", object, &rendered[key]), None, "{what}: {key}");
    }
}

#[test]
fn the_base_is_the_chart_with_its_defaults() {
    same("deploy/base", kustomize("base"), "");
}

#[test]
fn the_agents_base_is_one_vantage_point_of_the_chart() {
    let mut objects = kustomize("base");
    objects.extend(kustomize("agent"));
    // In the place of this one the reader declares a vantage point of their own.
    let values = "vantagePoints: [{name: secure-registry-agents, spec: {network: OnPremises}}]";
    let rendered = Helm::new(4).render(values);
    let declared = documents(&rendered)
        .into_iter()
        .filter(|object| object["kind"] == "VantagePoint");
    objects.extend(declared);
    same("deploy/agent", objects, values);
}

#[test]
fn who_spec_was_edited_by_is_the_same_policy() {
    let mut objects = kustomize("base");
    objects.extend(kustomize("editor"));
    same("deploy/editor", objects, "specEditor: {enabled: true}");
}

#[test]
fn monitoring_is_the_same() {
    let mut objects = kustomize("base");
    objects.extend(kustomize("monitoring"));
    same(
        "deploy/monitoring",
        objects,
        "metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboards: {enabled: true}}",
    );
}

#[test]
fn every_overlay_is_an_example_of_the_chart() {
    let mut overlays = Vec::new();
    for entry in std::fs::read_dir(repository().join("deploy/overlays")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let values = std::fs::read_to_string(chart().join("examples").join(format!("{name}.yaml"))).unwrap();
        same(&name, kustomize(&format!("overlays/{name}")), &values);
        overlays.push(name);
    }
    overlays.sort();
    assert_eq!(overlays, ["aks", "ha", "namespaced"]);
}

/// Who applies those for real is another program: here they at least name what is there, and say what the chart takes.
#[test]
fn the_gitops_examples_point_at_what_is_there() {
    let read = |name: &str| {
        let text = std::fs::read_to_string(repository().join("deploy/gitops").join(name)).unwrap();
        documents(&text)
    };
    let application = &read("argo-cd.yaml")[0]["spec"]["source"];
    let folder = repository().join(application["path"].as_str().unwrap());
    assert!(folder.join("Chart.yaml").exists(), "{}", folder.display());
    let helm = &application["helm"];
    let examples: Vec<String> = helm["valueFiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| std::fs::read_to_string(folder.join(file.as_str().unwrap())).unwrap())
        .collect();
    let own = serde_json::to_string(&helm["valuesObject"]).unwrap();
    // Both have keys of their own at the top.
    let values = format!(
        "{}\n\"grants\": {}\n",
        examples.concat(),
        helm["valuesObject"]["grants"]
    );
    assert!(own.starts_with("{\"grants\":"), "{own}");
    let rendered = documents(&Helm::new(4).render(&values));
    assert!(rendered.iter().any(|object| object["kind"] == "RegistryGrant"));
    let overlays: Vec<String> = read("flux.yaml")
        .iter()
        .filter(|object| {
            object["kind"] == "Kustomization" && object["spec"]["sourceRef"]["name"] == "secure-registry-operator"
        })
        .map(|object| object["spec"]["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(overlays, ["./deploy/overlays/aks"]);
    assert!(repository().join(&overlays[0]).join("kustomization.yaml").exists());
}
