//! YAML files as people apply them: any number of documents, lists, and objects of other kinds between ours.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sreg_api::{GROUP, SecureRegistry, VERSION, VantagePoint};
use sreg_planner::FoundGrant;

/// Why files cannot be planned for. Each says which file, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// A file or folder cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no YAML; the cause names the line.
    #[error("read {} as YAML", path.display())]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// An object of ours is none that the API server would take.
    #[error("{}, document {at}: {what}: {wrong}", path.display())]
    Object {
        /// Which file.
        path: PathBuf,
        /// Which of its documents, from one.
        at: usize,
        /// Kind and name, as far as they can be told.
        what: String,
        /// What is wrong.
        wrong: String,
    },
    /// There is nothing to plan for.
    #[error("no SecureRegistry in {0}: name the file that holds one, such as -f examples/production")]
    Empty(String),
}

/// A `SecureRegistry` of a file.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The file.
    pub path: PathBuf,
    /// The object. Its namespace is never empty.
    pub object: SecureRegistry,
}

/// What the files hold of ours.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// In the order of the files.
    pub registries: Vec<Declared>,
    /// RegistryGrants by name.
    pub grants: Vec<(String, FoundGrant)>,
    /// Labels of Namespaces, by name: grants may go by them.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// VantagePoints by name.
    pub vantage_points: BTreeMap<String, VantagePoint>,
}

/// One document on its way in.
struct Document<'a> {
    path: &'a Path,
    at: usize,
    value: Value,
}

impl Documents {
    /// Reads files, folders (every `.yaml`, `.yml` and `.json` in them, as `kubectl -f` does) and `-` for standard input. Objects that
    /// name no namespace are in `namespace`.
    ///
    /// # Errors
    /// Something cannot be read or is not what it says, or nothing is there to plan for.
    pub fn read(paths: &[PathBuf], namespace: &str) -> Result<Documents, DocumentsError> {
        let mut documents = Documents::default();
        for path in paths {
            for file in files(path)? {
                let text = text_of(&file)?;
                documents.add(&file, &text, namespace)?;
            }
        }
        if documents.registries.is_empty() {
            let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(DocumentsError::Empty(named.join(", ")));
        }
        Ok(documents)
    }

    /// One object for each registry, which has it looked at and nothing else, as if somebody had declared that. What stands for the file is
    /// the registry's id.
    ///
    /// # Errors
    /// An id is not that of a registry.
    pub fn observing(registries: &[String], namespace: &str) -> Result<Documents, DocumentsError> {
        let mut documents = Documents::default();
        for (at, id) in registries.iter().enumerate() {
            let name = id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            let value = json!({
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "SecureRegistry",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"registry": {"resourceId": id}, "managementPolicy": "Observe"},
            });
            let document = Document {
                path: Path::new(id),
                at: at + 1,
                value,
            };
            documents.take(document, namespace)?;
        }
        Ok(documents)
    }

    fn add(&mut self, path: &Path, text: &str, namespace: &str) -> Result<(), DocumentsError> {
        let read = serde_saphyr::from_multiple(text);
        let values: Vec<Value> = read.map_err(|source| DocumentsError::Yaml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        for (at, value) in values.into_iter().enumerate() {
            let document = Document {
                path,
                at: at + 1,
                value,
            };
            for item in items(document) {
                self.take(item, namespace)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, document: Document<'_>, namespace: &str) -> Result<(), DocumentsError> {
        let text = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str);
        let (kind, version) = (
            text("/kind").unwrap_or_default(),
            text("/apiVersion").unwrap_or_default(),
        );
        if kind == "Namespace" && version == "v1" {
            let labels = document.value.pointer("/metadata/labels").cloned().unwrap_or_default();
            let labels = serde_json::from_value(labels).unwrap_or_default();
            self.namespaces
                .extend(text("/metadata/name").map(|name| (name.to_owned(), labels)));
            return Ok(());
        }
        let Some((group, served)) = version.split_once('/') else {
            return Ok(());
        };
        if group != GROUP {
            return Ok(());
        }
        if served != VERSION {
            return Err(document.wrong(format!("apiVersion must be {GROUP}/{VERSION}")));
        }
        match kind {
            "SecureRegistry" => {
                let mut object: SecureRegistry = document.object()?;
                let own = object.metadata.namespace.get_or_insert_default();
                if own.is_empty() {
                    namespace.clone_into(own);
                }
                self.declare(&document, object)
            }
            "VantagePoint" => {
                let name = document.name()?;
                let point = document.object()?;
                self.vantage_points.insert(name, point);
                Ok(())
            }
            "RegistryGrant" => {
                let name = document.name()?;
                let spec = document.value.get("spec").unwrap_or(&Value::Null);
                self.grants.push((name, FoundGrant::new(spec)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn declare(&mut self, document: &Document<'_>, object: SecureRegistry) -> Result<(), DocumentsError> {
        document.name()?;
        let id = |object: &SecureRegistry| (object.metadata.namespace.clone(), object.metadata.name.clone());
        if let Some(first) = self.registries.iter().find(|other| id(&other.object) == id(&object)) {
            return Err(document.wrong(format!("it is declared in {} already", first.path.display())));
        }
        self.registries.push(Declared {
            path: document.path.to_owned(),
            object,
        });
        Ok(())
    }
}

impl Document<'_> {
    fn wrong(&self, wrong: impl Into<String>) -> DocumentsError {
        let text = |pointer: &str| self.value.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
        DocumentsError::Object {
            path: self.path.to_owned(),
            at: self.at,
            what: format!("{} {}", text("/kind"), text("/metadata/name")),
            wrong: wrong.into(),
        }
    }

    fn name(&self) -> Result<String, DocumentsError> {
        let name = self.value.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty());
        name.map(str::to_owned)
            .ok_or_else(|| self.wrong("metadata.name is missing"))
    }

    /// As the API server with strict validation would take it: a field that nobody knows is a mistake, not nothing.
    fn object<T: DeserializeOwned + Serialize>(&self) -> Result<T, DocumentsError> {
        let object: T = serde_json::from_value(self.value.clone()).map_err(|error| self.wrong(error.to_string()))?;
        let known = serde_json::to_value(&object).map_err(|error| self.wrong(error.to_string()))?;
        let spec = |value: &Value| value.get("spec").cloned().unwrap_or_default();
        match unknown_field("spec", &spec(&self.value), &spec(&known)) {
            Some(field) => Err(self.wrong(format!("{field} is no field (kubectl explain names those that are)"))),
            None => Ok(object),
        }
    }
}

/// The first field that was written and is not there once it is read. What says nothing may be left out.
fn unknown_field(at: &str, written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), read) => written.iter().find_map(|(name, value)| {
            let path = format!("{at}.{name}");
            match read.get(name) {
                Some(read) => unknown_field(&path, value, read),
                None => (!says_nothing(value)).then_some(path),
            }
        }),
        (Value::Array(written), Value::Array(read)) => {
            let pairs = written.iter().zip(read).enumerate();
            let mut found = pairs.filter_map(|(index, (w, r))| unknown_field(&format!("{at}[{index}]"), w, r));
            found.next()
        }
        (_, _) => None,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The objects of a `List`, or the one that stands there; empty documents are nothing.
fn items(document: Document<'_>) -> Vec<Document<'_>> {
    let Document { path, at, mut value } = document;
    let is_list = value.get("kind").and_then(Value::as_str) == Some("List");
    let values = match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        _ if value.is_null() => Vec::new(),
        _ => vec![value],
    };
    let document = |value| Document { path, at, value };
    values.into_iter().map(document).collect()
}

/// The files that a path stands for, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>, DocumentsError> {
    let failed = |source| DocumentsError::Read {
        path: path.to_owned(),
        source,
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn text_of(path: &Path) -> Result<String, DocumentsError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|source| DocumentsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "apiVersion: secureregistry.dev/v1alpha1
kind: SecureRegistry
metadata: {name: contoso}
spec:
  registry: {resourceId: /subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/r}
  managementPolicy: Observe
";

    fn read(text: &str) -> Result<Documents, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.yaml");
        fs::write(&file, text).unwrap();
        let whole = |error: DocumentsError| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Documents::read(&[folder.path().to_owned()], "team").map_err(whole)
    }

    #[test]
    fn objects_of_other_kinds_empty_documents_and_lists_are_read_over() {
        let indented = OBJECT.replace('\n', "\n    ");
        let text = format!(
            "---\n# nothing\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x}}\n---\napiVersion: v1\nkind: List\nitems:\n  - {}\n",
            indented.trim_end()
        );
        let documents = read(&text).unwrap();
        assert_eq!(
            documents.registries[0].object.metadata.namespace.as_deref(),
            Some("team")
        );
    }

    #[test]
    fn a_registry_that_no_file_declares_is_only_looked_at() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/Contoso";
        let documents = Documents::observing(&[id.to_owned()], "team").unwrap();
        let object = &documents.registries[0].object;
        assert_eq!(object.metadata.name.as_deref(), Some("contoso"));
        assert_eq!(object.spec.registry.resource_id, id);
        assert_eq!(
            object.spec.management_policy,
            sreg_api::registry::ManagementPolicy::Observe
        );
        assert!(Documents::observing(&[id.to_owned(), id.to_owned()], "team").is_err());
    }

    #[test]
    fn a_mistake_names_the_file_the_document_and_the_field() {
        for (text, said) in [
            (
                OBJECT.replace("managementPolicy", "managePolicy"),
                "document 1: SecureRegistry contoso: spec.managePolicy is no field",
            ),
            (
                OBJECT.replace("Observe", "Obey"),
                "SecureRegistry contoso: unknown variant `Obey`",
            ),
            (
                OBJECT.replace("v1alpha1", "v9"),
                "apiVersion must be secureregistry.dev/v1alpha1",
            ),
            (format!("{OBJECT}---\n{OBJECT}"), "is declared in"),
            (
                OBJECT.replace("kind: SecureRegistry", "kind: [SecureRegistry"),
                "as YAML",
            ),
            ("kind: Deployment".to_owned(), "no SecureRegistry in"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
