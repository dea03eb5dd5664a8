//! Kubeconfig files: who somebody is to the API server, as a file that kubectl, the operator and kube all read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::identity::Certified;

/// How somebody proves who they are.
pub(crate) enum Credential<'a> {
    Token(&'a str),
    Certificate(&'a Certified),
}

pub(crate) struct Kubeconfig<'a> {
    pub(crate) server: String,
    pub(crate) authority: String,
    pub(crate) namespace: &'a str,
    pub(crate) credential: Credential<'a>,
}

impl Kubeconfig<'_> {
    /// JSON, which is YAML.
    fn to_json(&self) -> Value {
        let user = match self.credential {
            Credential::Token(token) => json!({"token": token}),
            Credential::Certificate(certified) => json!({
                "client-certificate-data": STANDARD.encode(&certified.certificate),
                "client-key-data": STANDARD.encode(&certified.key),
            }),
        };
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": self.namespace}}],
            "clusters": [{"name": "test", "cluster": {
                "server": self.server,
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "test", "user": user}],
        })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_private(path, self.to_json().to_string().as_bytes())
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .with_context(|| format!("write {}", path.display()))
}
