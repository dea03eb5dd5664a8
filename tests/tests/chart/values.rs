//! The values are documented: each has a comment, a place in the schema and a row in the chart's README.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{chart, is};

const BEGINS: &str = "<!-- from values.yaml: `make generate` -->\n";
const ENDS: &str = "<!-- end -->";

/// Path of a value and what its comment says.
type Comments = Vec<(String, String)>;

/// Reads the comments `# -- …` above the keys of a file of two spaces a level.
fn comments(text: &str) -> Comments {
    let mut found = Comments::new();
    let mut path: Vec<String> = Vec::new();
    let mut comment = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(said) = trimmed.strip_prefix("# -- ") {
            comment = Some(said.to_owned());
        } else if let Some((key, _)) = trimmed.split_once(':').filter(|_| !trimmed.starts_with(['#', '-'])) {
            path.truncate((line.len() - trimmed.len()) / 2);
            path.push(key.to_owned());
            if let Some(said) = comment.take() {
                found.push((path.join("."), said));
            }
        }
    }
    found
}

fn text(file: &str) -> String {
    std::fs::read_to_string(chart().join(file)).unwrap()
}

fn defaults() -> Value {
    serde_saphyr::from_str(&text("values.yaml")).unwrap()
}

fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, key| &value[key])
}

/// Something below it is documented.
fn has_parts(said: &[(String, String)], path: &str) -> bool {
    said.iter().any(|(other, _)| other.starts_with(&format!("{path}.")))
}

#[test]
fn the_table_of_values_is_that_of_the_file() {
    let defaults = defaults();
    let mut table = String::from("| value | default | what |\n| --- | --- | --- |\n");
    let all = comments(&text("values.yaml"));
    for (path, said) in &all {
        let value = at(&defaults, path);
        // What is documented by its parts has no default of its own.
        let shown = if has_parts(&all, path) {
            String::new()
        } else {
            format!("`{value}`")
        };
        table.push_str(&format!("| `{path}` | {shown} | {said} |\n"));
    }
    let readme = text("README.md");
    let (before, rest) = readme.split_once(BEGINS).unwrap();
    let (_, after) = rest.split_once(ENDS).unwrap();
    is(
        &chart().join("README.md"),
        &[before, BEGINS, &table, ENDS, after].concat(),
    );
}

/// Every value with the schema that it must satisfy: objects that list their properties are gone through.
fn leaves(path: &str, value: &Value, schema: &Value, wrong: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let named: BTreeMap<&String, &Value> = value.as_object().map(|map| map.iter().collect()).unwrap_or_default();
    for key in properties.keys() {
        // Helm hands a chart's subcharts `global`, whoever wrote it.
        if !named.contains_key(key) && key != "global" {
            wrong.push(format!("{path}{key} is in the schema and not in values.yaml"));
        }
    }
    for (key, value) in named {
        match properties.get(key) {
            None => wrong.push(format!("{path}{key} is not in the schema")),
            Some(schema) => leaves(&format!("{path}{key}."), value, schema, wrong),
        }
    }
}

#[test]
fn every_value_stands_in_the_schema_and_the_other_way_round() {
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    let mut wrong = Vec::new();
    leaves("", &defaults(), &schema, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_value_says_what_it_is() {
    fn undocumented(path: &str, value: &Value, said: &[(String, String)], wrong: &mut Vec<String>) {
        let documented = |path: &str| said.iter().any(|(other, _)| other == path);
        let Some(map) = value.as_object() else { return };
        for (key, value) in map {
            let path = format!("{path}{key}");
            if has_parts(said, &path) {
                undocumented(&format!("{path}."), value, said, wrong);
            } else if !documented(&path) {
                wrong.push(path);
            }
        }
    }
    let mut wrong = Vec::new();
    undocumented("", &defaults(), &comments(&text("values.yaml")), &mut wrong);
    assert!(wrong.is_empty(), "no comment `# -- …` above {wrong:?}");
}

#[test]
fn the_chart_has_the_version_of_the_programs() {
    let chart: Value = serde_saphyr::from_str(&text("Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}
