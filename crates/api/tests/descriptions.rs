//! What `kubectl explain` tells: every field has a description, every enumeration tells each value and what it means, every
//! default is told.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

/// Calls `look` with the path and schema of every field of every kind that is ours to describe.
fn fields(look: &mut impl FnMut(&str, &Value)) {
    for definition in sreg_api::crd::definitions() {
        let definition = serde_json::to_value(definition).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(kind, schema, look);
    }
}

fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        look(&path, field);
        walk(&path, field, look);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], look);
    }
}

fn description(field: &Value) -> &str {
    field["description"].as_str().unwrap_or_default()
}

#[test]
fn every_field_is_described() {
    let mut silent = Vec::new();
    fields(&mut |path, field| {
        if description(field).trim().len() < 4 {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, [""; 0]);
}

#[test]
fn every_value_of_an_enumeration_is_told_with_its_meaning() {
    let mut found = 0;
    let mut untold = Vec::new();
    fields(&mut |path, field| {
        let values = field["enum"].as_array().or_else(|| field["items"]["enum"].as_array());
        for value in values.into_iter().flatten().map(|value| value.as_str().unwrap()) {
            found += 1;
            let line = format!("* `{value}`: ");
            let told = description(field)
                .lines()
                .any(|it| it.strip_prefix(&line).is_some_and(|it| it.len() > 3));
            if !told {
                untold.push(format!("{path}: {value}"));
            }
        }
    });
    assert!(found > 30, "{found}");
    assert_eq!(untold, [""; 0]);
}

#[test]
fn every_default_is_told() {
    let mut found = 0;
    let mut untold = Vec::new();
    fields(&mut |path, field| {
        let default = match &field["default"] {
            Value::String(text) => text.clone(),
            other @ (Value::Number(_) | Value::Bool(_)) => other.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return,
        };
        // What the operator writes is no wish that could be left out.
        if path.contains(".status.") {
            return;
        }
        found += 1;
        if !description(field).contains(&format!("Default: `{default}`.")) {
            untold.push(format!("{path}: {default}"));
        }
    });
    assert!(found >= 8, "{found}");
    assert_eq!(untold, [""; 0]);
}

/// Fields without a schema default (none may stand in list items) say in words what their absence means.
#[test]
fn optional_fields_of_list_items_say_what_their_absence_means() {
    let mut asked = 0;
    fields(&mut |path, field| {
        let optional = [
            "SecureRegistry.spec.endpoints[].approval",
            "SecureRegistry.spec.endpoints[].dns",
            "SecureRegistry.spec.endpoints[].dns.mode",
            "SecureRegistry.spec.endpoints[].dns.linkVirtualNetworks",
            "SecureRegistry.spec.endpoints[].dns.resolutionPolicy",
            "SecureRegistry.spec.endpoints[].dns.zoneResourceGroupResourceId",
            "SecureRegistry.spec.endpoints[].resourceGroupResourceId",
            "SecureRegistry.spec.clientNetworks[].endpoint",
        ];
        if optional.contains(&path) {
            asked += 1;
            assert!(
                description(field).contains("Default: "),
                "{path}: {}",
                description(field)
            );
        }
    });
    assert_eq!(asked, 8);
}
