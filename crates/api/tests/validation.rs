//! Every CEL rule, evaluated in the process: a good object passes, and each bad one is refused with the sentence that says
//! what to write instead. The cases are in the crate `sreg_api_cases`; a real API server is asked the same by the whole-binary tests.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sreg_api_cases::{Schema, rules};

fn schemas() -> BTreeMap<String, Schema> {
    let definitions = sreg_api::crd::definitions().into_iter();
    definitions
        .map(|definition| {
            let kind = definition.spec.names.kind.clone();
            (kind, Schema::of(&serde_json::to_value(definition).unwrap()))
        })
        .collect()
}

#[test]
fn good_objects_pass() {
    let schemas = schemas();
    for (kind, good) in rules().good {
        assert_eq!(schemas[&kind].complaints(&good, None), [""; 0], "{kind}");
        assert_eq!(
            schemas[&kind].complaints(&good, Some(&good)),
            [""; 0],
            "{kind} unchanged"
        );
    }
}

#[test]
fn each_bad_object_is_refused_with_what_to_write_instead() {
    let schemas = schemas();
    let rules = rules();
    let mut failures = Vec::new();
    for case in rules.cases.iter().filter(|case| !case.server) {
        let good = &rules.good[&case.of];
        let object = rules.object(case);
        let said = schemas[&case.of].complaints(&object, case.update.then_some(good));
        let as_expected = match &case.says {
            Some(says) => said.iter().any(|said| said.contains(says.as_str())),
            None => said.is_empty(),
        };
        if !as_expected {
            failures.push(format!("{}: {said:#?}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_rule_is_without_a_case() {
    fn messages(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
                into.extend(
                    rules
                        .into_iter()
                        .flatten()
                        .map(|rule| rule["message"].as_str().unwrap_or("no message").to_owned()),
                );
                map.values().for_each(|value| messages(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| messages(value, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut all = BTreeSet::new();
    schemas().values().for_each(|schema| messages(&schema.plain, &mut all));
    assert!(!all.is_empty());
    let says: Vec<String> = rules().cases.into_iter().filter_map(|case| case.says).collect();
    let untested: Vec<&String> = all
        .iter()
        .filter(|message| !says.iter().any(|says| message.contains(says.as_str())))
        .collect();
    assert_eq!(untested, [""; 0]);
}
