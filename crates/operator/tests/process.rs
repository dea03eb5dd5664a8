//! The built operator as a process, against a real API server and without any Azure: what it waits for and says so, who leads
//! when the leader goes, and how it ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use sreg_api::names::{MANAGED_BY, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use sreg_testkit::{ControlPlane, Process, Program, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(60);
const OPERATOR: &str = env!("CARGO_BIN_EXE_secure-registry-operator");

/// Parts of what ships, from the binary itself.
async fn install(plane: &ControlPlane, part: &str) -> Result<()> {
    install_with(plane, &["--part", part]).await
}

async fn install_with(plane: &ControlPlane, arguments: &[&str]) -> Result<()> {
    let manifests = std::process::Command::new(OPERATOR)
        .arg("crd")
        .args(arguments)
        .output()?;
    ensure!(manifests.status.success(), "{manifests:?}");
    plane.apply_yaml(std::str::from_utf8(&manifests.stdout)?).await?;
    Ok(())
}

/// Who the operator is.
async fn account(plane: &ControlPlane) -> Result<()> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/base");
    for file in ["namespace.yaml", "service-account.yaml"] {
        plane.apply_path(base.join(file)).await?;
    }
    Ok(())
}

/// An operator whose Azure is a port that nobody listens at.
async fn operator(plane: &ControlPlane, name: &str) -> Result<Process> {
    operator_with(plane, name, &[]).await
}

async fn operator_with(plane: &ControlPlane, name: &str, arguments: &[&str]) -> Result<Process> {
    let kubeconfig = plane
        .kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT)
        .await?;
    Program::new(OPERATOR)
        .named(name)
        .args(["run", "--health-address=127.0.0.1:0", "--log-format=json"])
        .args([
            "--azure-credential=client-secret",
            "--azure-tenant-id=tenant",
            "--azure-client-id=client",
        ])
        .arg(concat!(
            "--azure-cloud-file=",
            env!("CARGO_MANIFEST_DIR"),
            "/tests/nowhere.yaml"
        ))
        .args([
            "--lease-duration=6s",
            "--lease-grace=4s",
            "--lease-margin=1s",
            "--lease-read-interval=250ms",
        ])
        .args(arguments)
        .env("AZURE_CLIENT_SECRET", "not-for-anybodys-eyes")
        .env("KUBECONFIG", kubeconfig)
        .spawn()
}

/// Where it answers health requests.
async fn address(operator: &Process) -> Result<String> {
    let line = operator.line_with("operator started", SOON).await?;
    let line: Value = serde_json::from_str(&line)?;
    Ok(line["address"].as_str().context("the address")?.to_owned())
}

/// Status line and body of a GET.
async fn get(address: &str, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("a head and a body")?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

async fn leads(address: &str) -> Result<bool> {
    Ok(get(address, "/metrics")
        .await?
        .1
        .lines()
        .any(|line| line == "secureregistry_leader 1"))
}

async fn await_lead(address: &str) -> Result<()> {
    eventually(SOON, "it to lead", || async {
        ensure!(leads(address).await?, "it stands by");
        Ok(())
    })
    .await
}

/// It works on an object, as far as it can without Azure.
async fn works(plane: &ControlPlane, address: &str) -> Result<()> {
    plane
        .apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: ml-platform}}")
        .await?;
    plane
        .apply_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo/secureregistry.yaml"))
        .await?;
    eventually(SOON, "a pass", || async {
        let (_, metrics) = get(address, "/metrics").await?;
        let mut passes = metrics
            .lines()
            .filter(|line| line.starts_with("secureregistry_passes_total{controller=\"secureregistries\""));
        ensure!(passes.any(|line| !line.ends_with(" 0")), "none yet");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_missing_definition_is_waited_for_and_named_and_does_not_keep_it_from_ending() -> Result<()> {
    let plane = ControlPlane::start().await?;
    account(&plane).await?;
    install(&plane, "rbac").await?;
    let operator = operator(&plane, "operator").await?;
    let address = address(&operator).await?;
    let ready = || get(&address, "/readyz");
    eventually(SOON, "the missing kinds to be named", || async {
        let (status, body) = ready().await?;
        let named = body
            .contains("crds: the API server does not serve secureregistries, vantagepoints, connectivityprobes")
            && body.contains("secure-registry-operator crd --part crds | kubectl apply");
        ensure!(status == "HTTP/1.1 503 Service Unavailable" && named, "{status} {body}");
        Ok(())
    })
    .await?;
    assert_eq!(get(&address, "/livez").await?.0, "HTTP/1.1 200 OK");
    assert!(!leads(&address).await?, "it leads without anything to lead");

    install(&plane, "crds").await?;
    eventually(SOON, "it to lead", || async {
        let body = ready().await?.1;
        ensure!(body.contains("crds: ok") && leads(&address).await?, "{body}");
        Ok(())
    })
    .await?;
    eventually(SOON, "the unreachable authority to be named", || async {
        let (_, body) = ready().await?;
        ensure!(
            body.contains("azure-credential: fetch a token for https://127.0.0.1:9"),
            "{body}"
        );
        Ok(())
    })
    .await?;
    works(&plane, &address).await?;
    let status = operator.terminate(SOON).await?;
    assert_eq!(status.code(), Some(0));
    let secret = operator
        .lines()
        .into_iter()
        .find(|line| line.contains("not-for-anybodys-eyes"));
    assert_eq!(secret, None);
    Ok(())
}

#[tokio::test]
async fn a_standby_takes_over_and_who_loses_the_lease_ends_with_status_3() -> Result<()> {
    let plane = ControlPlane::start().await?;
    account(&plane).await?;
    install(&plane, "crds,policies,rbac").await?;
    let first = operator(&plane, "first").await?;
    let at_first = address(&first).await?;
    await_lead(&at_first).await?;
    let second = operator(&plane, "second").await?;
    second.line_with("standing by", SOON).await?;
    let at_second = address(&second).await?;
    works(&plane, &at_first).await?;
    assert!(!leads(&at_second).await?);

    // In good order: long before the lease would expire.
    let status = first.terminate(SOON).await?;
    assert_eq!(status.code(), Some(0));
    let freed = std::time::Instant::now();
    await_lead(&at_second).await?;
    println!("handed over after {:?}", freed.elapsed());
    second.line_with("the leader gave its lease up", SOON).await?;

    let leases: Api<Lease> = Api::namespaced(plane.admin_client().await?, OPERATOR_NAMESPACE);
    let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "thief"}}));
    leases.patch(MANAGED_BY, &PatchParams::default(), &stolen).await?;
    let status = second.exit(SOON).await?;
    assert_eq!(status.code(), Some(3));
    let said = second
        .lines()
        .into_iter()
        .find(|line| line.contains("the lease was taken by thief"));
    assert!(said.is_some(), "{:#?}", second.lines());
    Ok(())
}

/// As the overlay `namespaced` and the chart's `operator.watchNamespaces` have it.
#[tokio::test]
async fn an_operator_of_one_namespace_needs_rights_on_objects_there_only() -> Result<()> {
    let plane = ControlPlane::start().await?;
    account(&plane).await?;
    plane
        .apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: ml-platform}}")
        .await?;
    install_with(&plane, &["--part=crds,policies,rbac", "--served-namespace=ml-platform"]).await?;
    let user = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_SERVICE_ACCOUNT}");
    for (namespace, may) in [("ml-platform", "yes"), ("default", "no")] {
        let asked = ["auth", "can-i", "list", "secureregistries", "-n", namespace, &user];
        let output = plane.kubectl(&asked, plane.admin_kubeconfig()).await?;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), may, "{namespace}");
    }
    let operator = operator_with(&plane, "operator", &["--namespace=ml-platform"]).await?;
    let address = address(&operator).await?;
    await_lead(&address).await?;
    works(&plane, &address).await?;
    let objects: Api<sreg_api::SecureRegistry> = Api::namespaced(plane.admin_client().await?, "ml-platform");
    eventually(SOON, "a report", || async {
        let object = objects.get("contoso-models").await?;
        let status = object.status.context("no status")?;
        ensure!(status.observed_generation == object.metadata.generation, "{status:?}");
        Ok(())
    })
    .await
}

#[test]
fn what_cannot_start_says_why_and_what_to_set() {
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(OPERATOR);
        let azure = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AZURE_"));
        for (name, _) in azure {
            command.env_remove(name);
        }
        let output = command.args(args).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = run(&["run"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--azure-tenant-id"), "{said}");
    let tenant = ["run", "--azure-tenant-id=tenant", "--log-format=text"];
    let (code, said) = run(&tenant);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("use the workload-identity credential: set --azure-client-id or AZURE_CLIENT_ID"),
        "{said}"
    );
    let times = [
        "--azure-credential=azure-cli",
        "--lease-duration=10s",
        "--lease-grace=5s",
    ];
    let (code, said) = run(&[&tenant[..], &times].concat());
    assert_eq!(code, Some(1));
    assert!(
        said.contains("margin and three reads must fit into the grace"),
        "{said}"
    );
    let (code, said) = run(&[&tenant[..], &["--log-filter=sreg_runtime=loud"]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains("write it like info,sreg_runtime=debug"), "{said}");
}
