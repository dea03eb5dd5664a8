//! The command line as people and pipelines run it: through the real kubectl, against azure-sim, without any cluster and with one.

mod cluster;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azure_sim::seed::Seed;
use azure_sim::{FaultEffect, FaultRule, Running, ServeOptions, Simulator};
use serde_json::Value;
use sreg_testbed::{Testbed, cloud_document, oracle, repository};
use sreg_testkit::binary_path;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const REGISTRY: &str = "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg";

/// Longest that one command may take: nothing waits for ever.
const LIMIT: Duration = Duration::from_secs(120);

/// A terminal whose kubectl finds the plugin, in the demo's Azure.
struct Terminal {
    /// The simulated Azure, where no testbed holds it.
    azure: Option<Running>,
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Terminal {
    async fn new() -> Result<Terminal> {
        let folder = tempfile::tempdir()?;
        let mut seed = Seed::load(&repository().join("examples/azure/demo.yaml"))?;
        seed.latencies = azure_sim::Latencies::None;
        let options = ServeOptions {
            state_dir: Some(folder.path().to_owned()),
            ..ServeOptions::default()
        };
        let azure = Simulator::new(seed).serve(options).await?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("cloud.yaml"), cloud_document(azure.arm_endpoint.as_str()))?;
        let mut terminal = Terminal::in_folder(folder)?;
        terminal.azure = Some(azure);
        let path = |name: &str| terminal.folder.path().join(name).display().to_string();
        let env = [
            ("KUBECONFIG", path("no-cluster")),
            ("SREG_AZURE_CLOUD_FILE", path("cloud.yaml")),
            ("SREG_AZURE_CA_FILE", path("ca.pem")),
            ("AZURE_TENANT_ID", "0a000000-0000-4000-8000-0000000000ff".to_owned()),
            ("AZURE_CLIENT_ID", "0c000000-0000-4000-8000-000000000001".to_owned()),
            ("AZURE_CLIENT_SECRET", "demo-secret-of-no-worth".to_owned()),
        ];
        terminal.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
        Ok(terminal)
    }

    /// A terminal of whoever has this kubeconfig.
    fn at(testbed: &Testbed, kubeconfig: &Path) -> Result<Terminal> {
        let mut terminal = Terminal::in_folder(tempfile::tempdir()?)?;
        let env = testbed
            .azure_environment()
            .into_iter()
            .chain([("KUBECONFIG", kubeconfig.to_owned())]);
        let env = env.map(|(name, value)| (name.to_owned(), value.display().to_string()));
        terminal.env.extend(env);
        Ok(terminal)
    }

    fn in_folder(folder: TempDir) -> Result<Terminal> {
        let programs = folder.path().join("programs");
        std::fs::create_dir(&programs)?;
        std::os::unix::fs::symlink(sreg_testkit::assets()?.join("kubectl"), programs.join("kubectl"))?;
        for program in ["kubectl-secureregistry", "sreg"] {
            std::os::unix::fs::symlink(binary_path(program)?, programs.join(program))?;
        }
        let env = [
            ("PATH", format!("{}:/usr/bin:/bin", programs.display())),
            ("HOME", folder.path().join("home").display().to_string()),
        ];
        Ok(Terminal {
            azure: None,
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            folder,
        })
    }

    /// The same with what the environment holds instead; empty: not at all.
    fn with(mut self, changes: &[(&str, &str)]) -> Terminal {
        for (name, value) in changes {
            self.env.insert((*name).to_owned(), (*value).to_owned());
        }
        self.env.retain(|_, value| !value.is_empty());
        self
    }

    /// An Azure CLI that says this of its login.
    fn with_azure_cli(self, script: &str) -> Result<Terminal> {
        let az = self.folder.path().join("programs/az");
        std::fs::write(&az, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755))?;
        Ok(self.with(&[
            ("AZURE_CLIENT_ID", ""),
            ("AZURE_CLIENT_SECRET", ""),
            ("AZURE_TENANT_ID", ""),
        ]))
    }

    async fn run(&self, typed: &[&str]) -> Result<Said> {
        let mut words = typed.iter();
        let program = words.next().context("type something")?;
        let running = tokio::process::Command::new(self.folder.path().join("programs").join(program))
            .args(words)
            .current_dir(repository())
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, running).await;
        output
            .with_context(|| format!("{typed:?}: not done after {LIMIT:?}"))?
            .map(Said::of)
            .context("run it")
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn ended(self, code: i32) -> Result<Said> {
        ensure!(self.code == Some(code), "{code} was expected: {self:#?}");
        Ok(self)
    }

    /// An error that says this, and nothing that looks like a plan.
    fn refused(self, says: &[&str]) -> Result<()> {
        let said = self.ended(1)?;
        ensure!(said.err.starts_with("error: ") && said.out.is_empty(), "{said:#?}");
        for part in says {
            ensure!(said.err.contains(part), "{part:?} is missing: {said:#?}");
        }
        ensure!(!said.err.contains("secret-of-no-worth"), "a secret is told: {said:#?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_plans_for_files_without_a_cluster_and_writes_nothing() -> Result<()> {
    let terminal = Terminal::new().await?;
    let plan = ["plan", "-f", "examples/demo"];
    let said = terminal
        .run(&[&["kubectl", "secureregistry"], &plan[..]].concat())
        .await?
        .ended(2)?;
    for part in [
        "ml-platform/contoso-models (examples/demo/secureregistry.yaml)",
        "registry contosoreg: public access enabled",
        "1. tag registry contosoreg with secureregistry-claim=",
        "+ tags.owner: ml-platform",
        "create private DNS zone privatelink.blob.core.windows.net",
        "In Azure, once every path is proven from hub (hub-agent), spoke-a (spoke-a-agent), office (office)",
        "~ publicNetworkAccess: Enabled -> Disabled",
        "no other object of the cluster is taken to hold the registry",
    ] {
        ensure!(said.out.contains(part), "{part:?} is missing: {said:#?}");
    }
    ensure!(
        !said.out.contains('\u{1b}'),
        "colours where nobody sees them: {said:#?}"
    );
    let json = terminal
        .run(&[&["sreg"], &plan[..], &["-o", "json"]].concat())
        .await?
        .ended(2)?;
    let json: Value = serde_json::from_str(&json.out)?;
    let object = &json["objects"][0];
    ensure!(
        object["comes"] == "changes" && object["onceProven"].as_array().map(Vec::len) == Some(3),
        "{object:#}"
    );
    let markdown = terminal
        .run(&[&["sreg"], &plan[..], &["-o", "markdown"]].concat())
        .await?
        .ended(2)?;
    ensure!(
        markdown.out.starts_with("### ml-platform/contoso-models: changes\n"),
        "{markdown:#?}"
    );
    let azure = terminal.azure.as_ref().context("its own Azure")?;
    let writes = oracle::writes_since(&azure.simulator.records_since(0), 0);
    ensure!(writes.is_empty(), "a plan has written: {writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_chosen_by_name_by_namespace_and_by_the_id_of_their_registry() -> Result<()> {
    let terminal = Terminal::new().await?;
    let both = [
        "sreg",
        "plan",
        "-f",
        "examples/demo",
        "-f",
        "examples/observe/secureregistry.yaml",
        "-o",
        "json",
    ];
    let names = |said: &Said| -> Result<Vec<String>> {
        let json: Value = serde_json::from_str(&said.out)?;
        let objects = json["objects"].as_array().into_iter().flatten();
        Ok(objects
            .filter_map(|object| object["name"].as_str())
            .map(str::to_owned)
            .collect())
    };
    let id = "/subscriptions/0A000000-0000-4000-8000-000000000002/resourcegroups/ml/providers/microsoft.machinelearningservices/registries/contosoreg";
    for (asked, code, found) in [
        (&[][..], 2, &["contoso-models", "contoso-observed"][..]),
        (&["contoso-observed"], 0, &["contoso-observed"]),
        (&["ml-platform/contoso-models"], 2, &["contoso-models"]),
        (&[id], 2, &["contoso-models", "contoso-observed"]),
    ] {
        let said = terminal.run(&[&both[..], asked].concat()).await?.ended(code)?;
        ensure!(names(&said)? == found, "{asked:?}: {said:#?}");
    }
    let unknown = terminal.run(&[&both[..], &["contoso"]].concat()).await?;
    unknown.refused(&[
        "no SecureRegistry contoso",
        "ml-platform/contoso-models, ml-platform/contoso-observed",
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_planned_says_why_and_what_to_do_next() -> Result<()> {
    let terminal = Terminal::new().await?;
    let example = std::fs::read_to_string(repository().join("examples/demo/secureregistry.yaml"))?;
    let typo = terminal.file("typo.yaml", &example.replace("clientNetworks:", "clientNetwork:"))?;
    let no_yaml = terminal.file("no.yaml", &format!("{example}\n  - [\n"))?;
    for (file, says) in [
        ("no/such/file.yaml", &["read no/such/file.yaml", "No such file"][..]),
        (
            &typo,
            &["typo.yaml, document 1: SecureRegistry contoso-models: spec.clientNetwork is no field"],
        ),
        (&no_yaml, &["no.yaml as YAML"]),
        ("examples/azure", &["no SecureRegistry in examples/azure"]),
    ] {
        terminal.run(&["sreg", "plan", "-f", file]).await?.refused(says)?;
    }
    let invalid = example.replace(
        "endpoints:\n    - name: hub",
        "endpoints:\n    - name: hub\n      resourceGroupResourceId: nonsense",
    );
    let invalid = terminal.file("invalid.yaml", &invalid)?;
    let said = terminal.run(&["sreg", "plan", "-f", &invalid]).await?.ended(1)?;
    ensure!(
        said.out.contains("invalid spec.endpoints[hub].resourceGroupResourceId"),
        "{said:#?}"
    );
    let usage = terminal.run(&["sreg", "plan"]).await?.ended(1)?;
    ensure!(usage.err.contains("--filename"), "{usage:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_signed_in_is_told_how_to() -> Result<()> {
    let plan = ["sreg", "plan", "-f", "examples/demo"];
    let wrong = Terminal::new().await?.with(&[("AZURE_CLIENT_SECRET", "another")]);
    wrong
        .run(&plan)
        .await?
        .refused(&["fetch a token", "AADSTS7000215", "renew the secret"])?;
    let tenant = "0a000000-0000-4000-8000-0000000000aa";
    let elsewhere = Terminal::new().await?.with(&[("AZURE_TENANT_ID", tenant)]);
    elsewhere.run(&plan).await?.refused(&["fetch a token", tenant])?;
    let expired = "echo 'ERROR: AADSTS700082: The refresh token has expired due to inactivity.' >&2; exit 1";
    let expired = Terminal::new().await?.with_azure_cli(expired)?;
    expired.run(&plan).await?.refused(&["AADSTS700082", "az login"])?;
    let no_cli = Terminal::new()
        .await?
        .with(&[("AZURE_CLIENT_ID", ""), ("AZURE_CLIENT_SECRET", "")]);
    no_cli.run(&plan).await?.refused(&["az login"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_and_manual_pages_know_every_command() -> Result<()> {
    let terminal = Terminal::new().await?;
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = terminal.run(&["sreg", "completions", shell]).await?.ended(0)?;
        ensure!(
            script.out.contains("break-glass") && script.out.contains("filename"),
            "{shell}: {script:#?}"
        );
    }
    let folder = terminal.folder.path().join("man");
    terminal
        .run(&["sreg", "manual", &folder.display().to_string()])
        .await?
        .ended(0)?;
    for page in ["sreg.1", "sreg-plan.1", "sreg-why.1", "sreg-break-glass.1"] {
        ensure!(
            std::fs::read_to_string(folder.join(page))?.contains(".TH"),
            "{page} is no manual page"
        );
    }
    Ok(())
}

/// What Azure says once too often for a moment is asked again; what it goes on refusing is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_azure_that_throttles_is_asked_again_for_a_while() -> Result<()> {
    let terminal = Terminal::new().await?;
    let simulator = &terminal.azure.as_ref().context("its own Azure")?.simulator;
    let throttled = |times| FaultRule {
        name: None,
        method: Some("GET".to_owned()),
        path: Some("/registries/contosoreg?".to_owned()),
        body_contains: None,
        nth: None,
        times,
        probability: None,
        seed: 0,
        effect: FaultEffect::Status {
            status: 429,
            code: Some("TooManyRequests".to_owned()),
            message: None,
            body: None,
            retry_after: Some(1),
        },
    };
    simulator.inject(throttled(Some(3)));
    terminal.run(&["sreg", "plan", "-f", "examples/demo"]).await?.ended(2)?;
    simulator.inject(throttled(None));
    let said = terminal
        .run(&["sreg", "plan", "-f", "examples/demo", "--timeout", "4s"])
        .await?
        .ended(1)?;
    ensure!(
        said.out.contains("TooManyRequests") || said.out.contains("for Azure (NotKnown)"),
        "{said:#?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_no_file_declares_is_looked_at_by_its_id() -> Result<()> {
    let terminal = Terminal::new().await?;
    let plan = terminal
        .run(&["sreg", "plan", "--registry", REGISTRY])
        .await?
        .ended(0)?;
    for part in ["registry contosoreg: public access enabled", "nothing to do"] {
        ensure!(plan.out.contains(part), "{part:?} is missing: {plan:#?}");
    }
    let names = terminal
        .run(&["sreg", "fqdns", "--registry", REGISTRY])
        .await?
        .ended(0)?;
    ensure!(
        names.out.contains("carried by no private endpoint"),
        "nothing carries them yet: {names:#?}"
    );
    let names = terminal
        .run(&["sreg", "fqdns", "--quiet", "--registry", REGISTRY])
        .await?
        .ended(0)?;
    ensure!(
        names
            .out
            .lines()
            .all(|name| name.ends_with(".azureml.ms") || name.contains(".azurecr.io") || name.contains(".blob.")),
        "{names:#?}"
    );
    let absent = REGISTRY.replace("contosoreg", "nobody");
    let said = terminal.run(&["sreg", "fqdns", "--registry", &absent]).await?;
    said.refused(&["default/nobody"])?;
    terminal
        .run(&["sreg", "plan", "--registry", "contosoreg"])
        .await?
        .ended(1)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_paths_are_told_only_once_endpoints_have_addresses() -> Result<()> {
    let terminal = Terminal::new().await?;
    for command in ["hosts", "verify"] {
        let said = terminal.run(&["sreg", command, "-f", "examples/demo"]).await?;
        said.refused(&["ml-platform/contoso-models", "addresses", "sreg plan"])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_a_command_that_waits_for_its_input() -> Result<()> {
    let terminal = Terminal::new().await?;
    let mut running = tokio::process::Command::new(binary_path("sreg")?)
        .args(["plan", "-f", "-"])
        .env_clear()
        .envs(&terminal.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // Waiting for a process closes its input, unless somebody holds it.
    let _open = running.stdin.take();
    let mut said = BufReader::new(running.stderr.take().context("standard error")?).lines();
    let first = tokio::time::timeout(LIMIT, said.next_line()).await??;
    ensure!(first.as_deref() == Some("reading the files"), "{first:?}");
    let pid = running.id().context("it runs")?.to_string();
    ensure!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()?
            .success()
    );
    let ended = tokio::time::timeout(LIMIT, running.wait()).await??;
    ensure!(ended.code() == Some(130), "{ended:?}");
    Ok(())
}

/// A person who may read the registry and nothing else of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_makes_a_plan_that_is_not_whole() -> Result<()> {
    let terminal = Terminal::new().await?.with(&[
        ("AZURE_CLIENT_ID", "0c000000-0000-4000-8000-000000000002"),
        ("AZURE_CLIENT_SECRET", "scientist-secret-of-no-worth"),
    ]);
    let said = terminal
        .run(&["sreg", "plan", "-f", "examples/observe"])
        .await?
        .ended(1)?;
    ensure!(said.out.contains("AuthorizationFailed"), "{said:#?}");
    Ok(())
}
