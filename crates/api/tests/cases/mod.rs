//! The cases of `rules.yaml` and the good objects that they change; shared by the test that evaluates CEL rules in the
//! process and the one that asks a real API server.

// Each of the two leaves something to the other.
#![allow(dead_code)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Rules {
    /// A good object of each kind.
    pub good: BTreeMap<String, Value>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    /// Kind of the object.
    pub of: String,
    /// What is changed, by JSON pointer; null removes.
    pub set: BTreeMap<String, Value>,
    /// Part of what is said when it is refused; absent: it is accepted.
    pub says: Option<String>,
    /// The good object is there already.
    #[serde(default)]
    pub update: bool,
    /// Only a server can tell.
    #[serde(default)]
    pub server: bool,
}

pub fn rules() -> Rules {
    let mut rules: Rules = serde_saphyr::from_str(include_str!("rules.yaml")).unwrap();
    let example = serde_saphyr::from_str(include_str!("../../../../examples/demo/secureregistry.yaml")).unwrap();
    rules.good.insert("SecureRegistry".into(), example);
    rules
}

impl Rules {
    /// The good object of a case's kind, changed.
    pub fn object(&self, case: &Case) -> Value {
        let mut object = self.good[&case.of].clone();
        case.set
            .iter()
            .for_each(|(pointer, value)| set(&mut object, pointer, value));
        object
    }
}

/// Replaces, adds or removes what a JSON pointer names; pointers go in alphabetical order, so parents before children.
pub fn set(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {parent}"))
    {
        Value::Object(map) if value.is_null() => drop(map.remove(last)),
        Value::Object(map) => drop(map.insert(last.to_owned(), value.clone())),
        Value::Array(items) if items.len().to_string() == last => items.push(value.clone()),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value.clone(),
        other => panic!("{parent} is {other}"),
    }
}
