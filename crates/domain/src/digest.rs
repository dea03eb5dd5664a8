//! Digests of JSON values: what a plan saw, what was proven, what was approved.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// First sixteen bytes of a SHA-256, as 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Digest of a JSON value; the order of object keys does not matter.
    pub fn of_json(value: &Value) -> Digest {
        let mut text = String::new();
        canonical(value, &mut text);
        Digest::of_bytes(text.as_bytes())
    }

    /// Digest of text parts; a separator keeps `["ab","c"]` apart from `["a","bc"]`.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Digest {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Digest::from_hash(&hasher.finalize())
    }

    /// Digest of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest::from_hash(&Sha256::digest(bytes))
    }

    fn from_hash(hash: &[u8]) -> Digest {
        Digest(hash.iter().take(16).map(|b| format!("{b:02x}")).collect())
    }

    /// Takes what an object or a person wrote; nothing is checked, it can only fail to match.
    pub fn from_text(text: &str) -> Digest {
        Digest(text.to_ascii_lowercase())
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes keys sorted, whatever order the map keeps them in.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                canonical(&map[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => *out += &value.to_string(),
    }
}
