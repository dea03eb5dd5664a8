//! Behind a proxy, as it is in offices and agents' networks: operator and agents reach the API server and Azure by CONNECT, and
//! directly what `NO_PROXY` names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sreg_testbed::objects::REGISTRY;
use sreg_testbed::{OperatorOptions, Testbed, repository, worlds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const SETTLED: Duration = Duration::from_secs(120);

/// A proxy on loopback that counts, by authority, what it was asked to connect to.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Proxy {
    async fn start() -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, asked) = (listener.local_addr()?, Arc::<Mutex<BTreeMap<String, usize>>>::default());
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move { tunnel(stream, &counted).await.ok() });
            }
        });
        Ok(Proxy { address, asked })
    }

    fn asked_for(&self, authority: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(authority).copied().unwrap_or_default()
    }

    fn asked_for_anything(&self) -> bool {
        !self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn environment(&self, no_proxy: &str) -> Vec<(String, String)> {
        vec![
            ("HTTPS_PROXY".to_owned(), format!("http://{}", self.address)),
            ("NO_PROXY".to_owned(), no_proxy.to_owned()),
        ]
    }
}

async fn tunnel(mut client: TcpStream, asked: &Mutex<BTreeMap<String, usize>>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let authority = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .context("a CONNECT")?
        .to_owned();
    *asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(authority.clone())
        .or_default() += 1;
    let mut server = TcpStream::connect(&authority).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

fn authority(url: &str) -> String {
    url.trim_start_matches("https://").trim_end_matches('/').to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_operator_and_agents_start_and_lock() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let (for_agents, for_operator) = (Proxy::start().await?, Proxy::start().await?);
    let mut processes = Vec::new();
    for vantage in testbed.vantages.iter().filter(|vantage| !vantage.embedded) {
        processes.push(
            testbed
                .start_agent_with(&vantage.name, &for_agents.environment(""))
                .await?,
        );
    }
    let options = OperatorOptions {
        env: for_operator.environment("example.com"),
        ..OperatorOptions::default()
    };
    processes.push(testbed.start_operator(options).await?);
    testbed
        .plane
        .apply_path(repository().join("examples/demo/secureregistry.yaml"))
        .await?;
    testbed.await_state(REGISTRY, &["Locked"], SETTLED).await?;
    let api_server = authority(&testbed.plane.address());
    let azure = authority(testbed.azure.arm_endpoint.as_str());
    ensure!(
        for_agents.asked_for(&api_server) > 0,
        "the agents went round their proxy"
    );
    ensure!(
        for_operator.asked_for(&api_server) > 0,
        "the operator went round its proxy to the API server"
    );
    ensure!(
        for_operator.asked_for(&azure) > 0,
        "the operator went round its proxy to Azure"
    );
    // Probes look from where they stand.
    ensure!(for_agents.asked_for(&azure) == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_proxy_names_is_reached_directly() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let proxy = Proxy::start().await?;
    let agent = testbed
        .start_agent_with("hub-agent", &proxy.environment("127.0.0.1,localhost"))
        .await?;
    agent.line_with("vantage point found", SETTLED).await?;
    let options = OperatorOptions {
        env: proxy.environment("127.0.0.0/8"),
        ..OperatorOptions::default()
    };
    let _operator = testbed.start_operator(options).await?;
    testbed
        .plane
        .apply_path(repository().join("examples/demo/secureregistry.yaml"))
        .await?;
    testbed
        .await_state(REGISTRY, &["CreatingEndpoints", "ConfiguringDns"], SETTLED)
        .await?;
    ensure!(!proxy.asked_for_anything(), "{:?}", proxy.asked);
    Ok(())
}
