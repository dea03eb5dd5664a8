//! `make demo`: the whole product on one machine, from a public registry to a locked and proven one, in under a minute. Exits
//! non-zero if the registry is not locked. Leaves nothing running and nothing lying about, also on Ctrl-C; with `KEEP=1` it
//! stays up and says how to look around.

#![allow(clippy::print_stdout)]

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sreg_api::SecureRegistry;
use sreg_testbed::objects::{REGISTRY, ready};
use sreg_testbed::{NAMESPACE, OperatorOptions, Testbed, oracle, repository, worlds};
use sreg_testkit::Process;
use tokio::signal::unix::{SignalKind, signal};

/// How long from apply to locked; a world that takes longer is broken.
const LIMIT: Duration = Duration::from_secs(55);

const USAGE: &str = "\
sreg-demo: secures a registry of a simulated Azure before your eyes, in under a minute, and leaves nothing behind. Takes no arguments.

  KEEP=1                 stays up and says how to look around, until Ctrl-C
  KUBEBUILDER_ASSETS=…   folder with kube-apiserver, etcd and kubectl (tools/control-plane.sh --print); make demo sets it";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        println!("{USAGE}");
        let asked = ["-h", "--help"].contains(&argument.as_str());
        return if asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    let interrupted = stopped_from_outside();
    let result = tokio::select! {
        result = demo() => result,
        () = interrupted => {
            println!("\ninterrupted: everything that was started is stopped");
            return ExitCode::from(130);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\ndemo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, a closed terminal, or a polite kill: each must leave nothing behind.
async fn stopped_from_outside() {
    let (terminated, hung_up) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut terminated), Ok(mut hung_up)) = (terminated, hung_up) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        _ = hung_up.recv() => {}
    }
}

struct Story {
    begun: Instant,
}

impl Story {
    fn tell(&self, line: &str) {
        println!("[{:5.1}s] {line}", self.begun.elapsed().as_secs_f64());
    }
}

async fn demo() -> Result<()> {
    let story = Story { begun: Instant::now() };
    story.tell("starting a kube-apiserver with etcd, and azure-sim with a public registry");
    let testbed = Testbed::start(worlds::demo()?).await?;
    let registry = registry_id(&testbed)?;
    story.tell(&format!(
        "kube-apiserver {}; azure-sim at {}",
        testbed.plane.version(),
        testbed.azure.arm_endpoint
    ));
    show_access(&story, &testbed, &registry);
    let mut processes = testbed.start_agents(false).await?;
    processes.push(
        testbed
            .start_operator(OperatorOptions {
                printed: false,
                ..OperatorOptions::default()
            })
            .await?,
    );
    story.tell("operator and agents run under their own ServiceAccounts (hub-agent, spoke-a-agent; office is looked at by the operator)");
    testbed.grant().await?;
    story.tell("an administrator let namespace ml-platform use registry, network, zones and vantage points: applied examples/demo/grant.yaml");
    testbed
        .plane
        .apply_path(repository().join("examples/demo/secureregistry.yaml"))
        .await
        .context("apply the example")?;
    story.tell("applied examples/demo/secureregistry.yaml");
    let object = watch(&story, &testbed).await?;
    conclude(&story, &testbed, &registry, &object).await?;
    if std::env::var_os("KEEP").is_some_and(|v| v != "0" && !v.is_empty()) {
        stay(&testbed, &registry).await?;
    }
    stop(processes).await;
    Ok(())
}

fn registry_id(testbed: &Testbed) -> Result<String> {
    testbed.simulator().with_world(|world| {
        let mut registries = world.of_kind("microsoft.machinelearningservices/registries");
        registries
            .find(|r| r.id.ends_with("/contosoreg"))
            .map(|r| r.id.clone())
            .context("the seed has no registry contosoreg")
    })
}

fn show_access(story: &Story, testbed: &Testbed, registry: &str) {
    for (id, closed) in oracle::closed(testbed.simulator(), registry) {
        let name = id.rsplit("/providers/").next().unwrap_or(&id);
        story.tell(&format!(
            "  {:60} {}",
            name,
            if closed { "closed" } else { "open to the internet" }
        ));
    }
}

/// Prints every change until the object is locked: a table that is redrawn on a terminal, plain lines otherwise.
async fn watch(story: &Story, testbed: &Testbed) -> Result<SecureRegistry> {
    let terminal = std::io::stdout().is_terminal();
    let api = testbed.registries();
    let end = Instant::now() + LIMIT;
    let (mut last, mut drawn) = (Vec::new(), 0);
    while Instant::now() < end {
        let object = api.get(REGISTRY).await.context("get the object")?;
        let lines = if terminal { table(&object) } else { vec![line(&object)] };
        if lines != last {
            if terminal && drawn > 0 {
                print!("\x1b[{drawn}A\x1b[J");
            }
            if terminal {
                lines.iter().for_each(|l| println!("          {l}"))
            } else {
                lines.iter().for_each(|l| story.tell(l))
            }
            drawn = lines.len();
            last = lines;
        }
        if ready(&object).0 == "Locked" {
            return Ok(object);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!(
        "{REGISTRY} is not locked {LIMIT:?} after apply; its last state: {}",
        last.join("; ")
    )
}

fn line(object: &SecureRegistry) -> String {
    let (state, message) = ready(object);
    let status = object.status.clone().unwrap_or_default();
    let public = status.public_access.map_or_else(|| "-".to_owned(), |p| p.summary);
    let endpoints = status.endpoints_ready.unwrap_or_else(|| "-".into());
    let verified = status.paths_verified.unwrap_or_else(|| "-".into());
    let message: String = message.chars().take(160).collect();
    format!("{state:20} public={public} endpoints={endpoints} verified={verified}  {message}")
}

fn table(object: &SecureRegistry) -> Vec<String> {
    let status = object.status.clone().unwrap_or_default();
    let mut lines = vec![line(object)];
    for endpoint in &status.endpoints {
        let connection = endpoint.connection_state.as_deref().unwrap_or("-");
        let addresses = endpoint.addresses.join(", ");
        lines.push(format!(
            "  endpoint {:18} {:12} {:10} {:10} {addresses}",
            endpoint.target, endpoint.group_id, endpoint.provisioning_state, connection
        ));
    }
    for condition in status.conditions.iter().filter(|c| c.type_ != "Ready") {
        lines.push(format!("  {:24} {}", condition.type_, condition.status));
    }
    lines
}

/// The end: what `kubectl` shows, what was proven, and what the simulator's own journal says about it.
async fn conclude(story: &Story, testbed: &Testbed, registry: &str, object: &SecureRegistry) -> Result<()> {
    story.tell("locked; this is what kubectl shows:");
    for args in [
        vec!["get", "sreg", "-n", NAMESPACE, "-o", "wide"],
        vec!["get", "connectivityprobes", "-A"],
    ] {
        let said = testbed.plane.admin_kubectl(&args).await?;
        println!("\n$ kubectl {}\n{said}", args.join(" "));
    }
    let status = object.status.clone().unwrap_or_default();
    println!("evidence (paths proven before the lock, from the simulator's journal):");
    let networks: Vec<String> = testbed.vantages.iter().map(|v| v.network.clone()).collect();
    let requirement = oracle::Requirement {
        registry: registry.to_owned(),
        networks,
        successes: 3,
    };
    let required = testbed
        .simulator()
        .with_world(|world| oracle::required_paths(world, &requirement));
    for path in &required {
        println!("  {:10} {:70} {}", path.network, path.fqdn, path.address);
    }
    if let Some(snapshot) = status.snapshot {
        println!(
            "  evidence digest {}, snapshot in ConfigMap {}",
            snapshot.evidence_digest, snapshot.config_map
        );
    }
    println!();
    show_access(story, testbed, registry);
    let breaches = oracle::breaches(testbed.simulator(), &requirement);
    if !breaches.is_empty() {
        bail!("the journal shows a lock without proof:\n{}", breaches.join("\n"));
    }
    story.tell(&format!(
        "the journal agrees: no closing write before all {} paths had been reached 3 times in a row",
        required.len()
    ));
    println!("\nnext: read docs/architecture.md, or run `KEEP=1 make demo` to look around and break things");
    Ok(())
}

async fn stay(testbed: &Testbed, registry: &str) -> Result<()> {
    let kubeconfig = testbed.path("admin.kubeconfig");
    std::fs::copy(testbed.plane.admin_kubeconfig(), &kubeconfig).context("write a kubeconfig")?;
    let environment = testbed.path("environment");
    std::fs::write(&environment, environment_text(testbed, &kubeconfig)).context("write the environment")?;
    let curl = |network: &str| {
        testbed
            .azure
            .networks
            .get(network)
            .map_or_else(String::new, |p| p.curl_proxy.to_string())
    };
    let arm = &testbed.azure.arm_endpoint;
    let ca = testbed.ca_file();
    let ca = ca.display();
    let host = testbed.simulator().with_world(|world| {
        world
            .public_addresses
            .keys()
            .find(|name| name.contains(".blob."))
            .cloned()
            .unwrap_or_default()
    });
    println!(
        "\nKEEP=1: everything stays up until Ctrl-C. In another terminal:\n\n  . {}\n  kubectl get sreg -n {NAMESPACE} -w\n\n\
         connect from inside (401: it asks who you are) and from outside (403: denied):\n  \
         curl -i --cacert {ca} --proxy socks5h://{} -H 'x-ms-version: 2023-11-03' 'https://{host}/?comp=list'\n  \
         curl -i --cacert {ca} --proxy socks5h://{} -H 'x-ms-version: 2023-11-03' 'https://{host}/?comp=list'\n\n\
         break DNS, open the registry by hand, delete an endpoint, and watch what the operator says:\n  \
         curl --cacert {ca} {arm}_sim/world | python3 -m json.tool | less\n  \
         curl --cacert {ca} -X PATCH {arm}_sim/resources{registry} -H 'content-type: application/json' -d '{{\"properties\":{{\"publicNetworkAccess\":\"Enabled\"}}}}'\n  \
         curl --cacert {ca} -X DELETE {arm}_sim/resources$ID   # ID: of an A record or a private endpoint, from _sim/world\n",
        environment.display(),
        curl("hub"),
        curl("internet"),
    );
    testbed.keep_azure_token().await
}

fn environment_text(testbed: &Testbed, kubeconfig: &Path) -> String {
    format!(
        "export KUBECONFIG={}\nexport PATH={}:$PATH\nexport AZURE_SIM={}\n",
        kubeconfig.display(),
        testbed.plane.assets().display(),
        testbed.azure.arm_endpoint
    )
}

async fn stop(processes: Vec<Process>) {
    for process in processes.iter().rev() {
        process.terminate(Duration::from_secs(10)).await.ok();
    }
}
