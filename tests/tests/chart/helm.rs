//! Helm as a program, in the versions that `tools/helm.sh` provides.

use std::path::Path;
use std::process::{Command, Output};

use crate::{chart, repository};

/// The release of whoever does not choose.
pub const RELEASE: &str = "secure-registry-operator";
pub const NAMESPACE: &str = "secure-registry-system";

/// One Helm, with settings and caches of its own.
pub struct Helm {
    pub major: u8,
    program: String,
    home: tempfile::TempDir,
}

impl Helm {
    /// Helm 4 or 3.
    pub fn new(major: u8) -> Helm {
        let located = Command::new(repository().join("tools/helm.sh"))
            .args(["--locate", &major.to_string()])
            .output()
            .unwrap();
        assert!(located.status.success(), "{}", String::from_utf8_lossy(&located.stderr));
        Helm {
            major,
            program: String::from_utf8(located.stdout).unwrap().trim().to_owned(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Both.
    pub fn both() -> [Helm; 2] {
        [4, 3].map(Helm::new)
    }

    /// Where it is.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Runs it, with the cluster of `kubeconfig` or none.
    pub fn run(&self, kubeconfig: Option<&Path>, arguments: &[&str]) -> Output {
        let home = |name: &str| self.home.path().join(name);
        Command::new(&self.program)
            .args(arguments)
            .env("HOME", self.home.path())
            .env("HELM_CACHE_HOME", home("cache"))
            .env("HELM_CONFIG_HOME", home("config"))
            .env("HELM_DATA_HOME", home("data"))
            .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
            .output()
            .unwrap()
    }

    /// What `helm template` renders with a values file's text, or what it says.
    pub fn template(&self, release: &str, namespace: &str, values: &str) -> Result<String, String> {
        let file = self.home.path().join("values.yaml");
        std::fs::write(&file, values).unwrap();
        let output = self.run(
            None,
            &[
                "template",
                release,
                chart().to_str().unwrap(),
                "--namespace",
                namespace,
                "--values",
                file.to_str().unwrap(),
                "--kube-version=1.37.2",
            ],
        );
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The text of the release that nobody named otherwise.
    pub fn render(&self, values: &str) -> String {
        self.template(RELEASE, NAMESPACE, values)
            .unwrap_or_else(|said| panic!("Helm {}: {said}", self.major))
    }
}
