//! The cases of `rules.yaml` and the good objects that they change; shared by the test that evaluates CEL rules in the
//! process and the one that asks a real API server.

// Test code: a panic is a finding.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use kube::core::cel::{CompiledSchema, apply_defaults, compile_schema, validate_compiled};
use serde::Deserialize;
use serde_json::Value;

/// The file, and the example that the demo shows.
#[derive(Deserialize)]
pub struct Rules {
    /// A good object of each kind.
    pub good: BTreeMap<String, Value>,
    /// What becomes of each.
    pub cases: Vec<Case>,
}

/// A good object, changed, and what is said to it.
#[derive(Deserialize)]
pub struct Case {
    /// A sentence.
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

/// Reads the cases.
///
/// # Panics
/// `rules.yaml` or the example cannot be parsed.
pub fn rules() -> Rules {
    let mut rules: Rules = serde_saphyr::from_str(include_str!("rules.yaml")).unwrap();
    let example = serde_saphyr::from_str(include_str!("../../../examples/demo/secureregistry.yaml")).unwrap();
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
///
/// # Panics
/// Nothing is where the pointer leads.
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

/// What an API server keeps of one kind.
pub struct Schema {
    /// As the definition says it.
    pub plain: Value,
    compiled: CompiledSchema,
}

impl Schema {
    /// The schema of a CustomResourceDefinition's first version.
    ///
    /// # Panics
    /// A rule does not compile.
    pub fn of(definition: &Value) -> Schema {
        let plain = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let compiled = compile_schema(&plain);
        assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
        Schema { plain, compiled }
    }

    /// What is wrong with an object, each as a sentence.
    pub fn complaints(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let old = old.map(|old| apply_defaults(&self.plain, old));
        match validate_compiled(&self.compiled, &apply_defaults(&self.plain, object), old.as_ref()) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }
}
