//! The simulator as a server: HTTPS on loopback with its own certificate authority, and the data plane beside it. What a
//! client needs to know stands in a file of the state folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::CertificateAuthority;
use crate::data_plane::{self, NetworkPorts};
use crate::exchange::exchange;
use crate::simulator::Simulator;

/// How long streams may take to end at a stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where to listen and where to say so.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder for `azure-sim.json` and `ca.pem`; made when missing.
    pub state_dir: Option<PathBuf>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            state_dir: None,
        }
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// `https://127.0.0.1:port`: ARM, tokens, discovery and `/_sim`.
    pub arm_endpoint: Url,
    /// The root that clients have to trust.
    pub ca_pem: String,
    /// The ports of each network.
    pub networks: BTreeMap<String, NetworkPorts>,
    /// The simulated Azure behind it.
    pub simulator: Simulator,
    stop: CancellationToken,
    tasks: TaskTracker,
    data_plane: Option<data_plane::Running>,
}

impl Running {
    /// Stops listening, ends all streams and waits for them.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            tracing::debug!("some streams did not end in time");
        }
        if let Some(data_plane) = self.data_plane.take() {
            data_plane.shutdown().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Simulator {
    /// Serves both planes until [`Running`] is shut down or dropped.
    pub async fn serve(self, options: ServeOptions) -> anyhow::Result<Running> {
        ensure!(
            options.listen.ip().is_loopback(),
            "listen on {}: only loopback addresses are served",
            options.listen
        );
        let authority = Arc::new(CertificateAuthority::new().context("make the certificate authority")?);
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut tls = authority
            .server_config(&names)
            .context("make the certificate of the ARM endpoint")?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("listen on {}", options.listen))?;
        let address = listener.local_addr().context("read the address of the ARM endpoint")?;
        let arm_endpoint = Url::parse(&format!("https://{address}")).context("make the URL of the ARM endpoint")?;
        let faults = self.data_plane_faults().clone();
        let data_plane = data_plane::start_with_faults(self.clone(), authority.clone(), faults)
            .await
            .context("start the data plane")?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let running = Running {
            arm_endpoint,
            ca_pem: authority.pem().to_owned(),
            networks: data_plane.networks.clone(),
            simulator: self.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
            data_plane: Some(data_plane),
        };
        if let Some(folder) = &options.state_dir {
            write_state(&running, folder)?;
        }
        tasks.spawn(accept(
            self,
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            stop,
            tasks.clone(),
        ));
        Ok(running)
    }
}

/// Writes `ca.pem` and `azure-sim.json`; the latter last and by renaming, so that whoever sees it can start.
fn write_state(running: &Running, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make folder {}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let (partial, path) = (folder.join(format!(".{name}.partial")), folder.join(name));
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("write {}", path.display()))
    };
    write("ca.pem", &running.ca_pem)?;
    let ca_file = std::path::absolute(folder.join("ca.pem")).context("find the folder of the certificate")?;
    let networks: BTreeMap<&String, _> = running
        .networks
        .iter()
        .map(|(name, ports)| (name, json!({ "socks5": ports.socks5, "curlProxy": ports.curl_proxy })))
        .collect();
    let state = json!({
        "armEndpoint": running.arm_endpoint.as_str().trim_end_matches('/'), "caFile": ca_file,
        "tenantId": running.simulator.tenant(), "processId": std::process::id(), "networks": networks,
    });
    write("azure-sim.json", &format!("{state:#}\n"))
}

async fn accept(
    simulator: Simulator,
    listener: TcpListener,
    tls: TlsAcceptor,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(simulator.clone(), stream, tls.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(simulator: Simulator, stream: TcpStream, tls: TlsAcceptor, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        ended = exchange(simulator, stream, tls) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
