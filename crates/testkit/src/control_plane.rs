//! A real kube-apiserver with its etcd, on free loopback ports, data in a temporary folder: RBAC on, TokenRequest, CEL,
//! admission policies, audit log and priority and fairness as in any cluster. There is no controller manager: nothing
//! collects garbage, no namespace ever finishes terminating, no ServiceAccount is made by itself.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig as KubeKubeconfig};
use kube::{Client, Config, ResourceExt};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::identity::{Authority, token_key};
use crate::kubeconfig::{Credential, Kubeconfig, write_private};
use crate::{AuditEvent, Process, Program, apply, audit, eventually, install_tls_provider, programs, watchdog};

/// Ready takes 1.2 s on an idle machine; a machine that compiles something else at the same time may need far longer.
const READY: Duration = Duration::from_secs(90);
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KUBECTL: Duration = Duration::from_secs(60);
/// Times that somebody else may take a port between our looking for a free one and the program's binding it.
const ATTEMPTS: u32 = 3;

/// Who signs ServiceAccount tokens: their `iss` claim.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A running control plane. Dropping it ends it; so does the end of the test process, however that comes about.
pub struct ControlPlane {
    // Dropped in this order: the API server before its store, both before the folder they write to.
    api_server: Mutex<Process>,
    etcd: Process,
    folder: TempDir,
    assets: PathBuf,
    /// Further flags of the API server.
    flags: Vec<String>,
    ports: Ports,
    authority: Authority,
    admin: PathBuf,
    version: String,
    files: AtomicU32,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    etcd_peers: u16,
    api_server: u16,
}

static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();

impl ControlPlane {
    /// The one control plane that all tests of a test binary share, started by the first who asks; each test takes a
    /// [`ControlPlane::namespace`] of its own.
    ///
    /// # Errors
    /// It could not be started; every later caller gets the same error at once.
    pub async fn shared() -> Result<&'static ControlPlane> {
        let shared = SHARED
            .get_or_init(|| async { Self::start().await.map_err(|error| format!("{error:#}")) })
            .await;
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// Starts a control plane and waits until it is ready.
    ///
    /// # Errors
    /// The programs are missing (`make tools` provides them), or one of them ended, or was not ready in 90 s; the
    /// message holds its last words.
    pub async fn start() -> Result<ControlPlane> {
        Self::start_with(&[]).await
    }

    /// The same with further flags of the API server, such as `--feature-gates=WatchList=false`.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_with(flags: &[&str]) -> Result<ControlPlane> {
        install_tls_provider();
        let assets = programs::assets()?;
        let mut attempt = 1;
        let plane = loop {
            match Self::try_start(&assets, flags).await {
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") => {
                    attempt += 1
                }
                other => break other?,
            }
        };
        eprintln!("control plane: kube-apiserver {} at {}", plane.version, plane.address());
        Ok(plane)
    }

    async fn try_start(assets: &Path, flags: &[&str]) -> Result<ControlPlane> {
        let folder = tempfile::Builder::new()
            .prefix("sreg-control-plane-")
            .tempdir()
            .context("make a folder")?;
        watchdog::remove_at_end(folder.path())?;
        let ports = free_ports()?;
        let authority = Authority::new()?;
        let admin_token = write_files(folder.path(), &authority)?;
        let etcd = etcd(assets, folder.path(), ports).spawn()?;
        let api_server = api_server(assets, folder.path(), ports).args(flags).spawn()?;
        let admin = folder.path().join("admin.kubeconfig");
        let mut plane = ControlPlane {
            api_server: Mutex::new(api_server),
            etcd,
            folder,
            assets: assets.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            ports,
            authority,
            admin,
            version: String::new(),
            files: AtomicU32::new(0),
        };
        plane
            .kubeconfig("default", Credential::Token(&admin_token))
            .write(&plane.admin)?;
        plane.await_ready().await?;
        plane.version = plane
            .admin_client()
            .await?
            .apiserver_version()
            .await
            .context("ask for the version")?
            .git_version;
        Ok(plane)
    }

    async fn await_ready(&self) -> Result<()> {
        let authority = reqwest::Certificate::from_pem(self.authority.pem().as_bytes())?;
        let client = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()?;
        let url = format!("{}/readyz", self.address());
        // The outer result ends the waiting, the inner one is for the caller.
        eventually(READY, "the control plane to be ready", || async {
            for (name, ended) in [
                ("etcd", self.etcd.try_exit()),
                ("kube-apiserver", self.api_server().try_exit()),
            ] {
                match ended {
                    Ok(None) => {}
                    Ok(Some(status)) => return Ok(Err(anyhow!("{name} ended with {status}:\n{}", self.last_words()))),
                    Err(error) => return Ok(Err(error)),
                }
            }
            let answer = client
                .get(&url)
                .timeout(Duration::from_secs(10))
                .send()
                .await
                .map_err(|e| e.to_string())?;
            match answer.status().is_success() {
                true => Ok(Ok(())),
                false => Err(format!("/readyz answers {}", answer.status())),
            }
        })
        .await
        .with_context(|| format!("start the control plane; its last words:\n{}", self.last_words()))??;
        // Made by a hook that readiness does not wait for; without it nothing can be applied to `default`.
        let namespaces: Api<Namespace> = Api::all(self.admin_client().await?);
        eventually(READY, "the namespace default", || async {
            namespaces.get("default").await.map(drop)
        })
        .await
    }

    fn api_server(&self) -> std::sync::MutexGuard<'_, Process> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_words(&self) -> String {
        let mut lines = self.etcd.lines();
        lines.extend(self.api_server().lines());
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Where the API server listens, e.g. `https://127.0.0.1:34567`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The folder that holds kube-apiserver, etcd and kubectl.
    pub fn assets(&self) -> &Path {
        &self.assets
    }

    /// The API server's version, e.g. `v1.37.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The certificate authority (PEM) that signed the API server's certificate.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Kills the API server with SIGKILL and starts it again on the same port and store, as after a crash. Not for the
    /// shared control plane: other tests would see it.
    ///
    /// # Errors
    /// It was not ready again in time.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.api_server().kill9()?;
        let next = api_server(&self.assets, self.folder.path(), self.ports)
            .args(&self.flags)
            .spawn()?;
        *self.api_server() = next;
        self.await_ready().await
    }

    /// A client that may do everything (group `system:masters`). Make a new one in every test: a client belongs to the
    /// runtime it was made in and dies with it.
    ///
    /// # Errors
    /// The client could not be built.
    pub async fn admin_client(&self) -> Result<Client> {
        client(&self.admin).await
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// A client for a kubeconfig made by this control plane.
    ///
    /// # Errors
    /// The file does not parse or no client could be built.
    pub async fn client(&self, kubeconfig: &Path) -> Result<Client> {
        client(kubeconfig).await
    }

    /// A kubeconfig for a person, proven by a client certificate. They may do nothing until RBAC says so.
    ///
    /// # Errors
    /// The certificate could not be signed or the file not be written.
    pub fn kubeconfig_for_user(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let certified = self.authority.user(user, group)?;
        self.write_kubeconfig(user, "default", Credential::Certificate(&certified))
    }

    /// A kubeconfig for the bearer of a token, with `namespace` as its default namespace.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn kubeconfig_for_token(&self, token: &str, namespace: &str) -> Result<PathBuf> {
        self.write_kubeconfig("token", namespace, Credential::Token(token))
    }

    /// A kubeconfig for a ServiceAccount, good for a day, with its namespace as the default namespace.
    ///
    /// # Errors
    /// The ServiceAccount does not exist (nobody makes one by itself here).
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name, &[], A_DAY).await?;
        self.write_kubeconfig(name, namespace, Credential::Token(&token))
    }

    /// A token from TokenRequest, for the API server's own audience if `audiences` is empty. The server grants no less
    /// than ten minutes.
    ///
    /// # Errors
    /// The ServiceAccount does not exist, or the server refused; then the cause is a [`kube::Error`].
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
        ttl: Duration,
    ) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client().await?, namespace);
        let spec = TokenRequestSpec {
            audiences: (!audiences.is_empty()).then(|| audiences.iter().map(|&audience| audience.to_owned()).collect()),
            expiration_seconds: Some(i64::try_from(ttl.as_secs()).context("read the token's lifetime")?),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec: Some(spec),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("request a token for ServiceAccount {namespace}/{name}"))?;
        answer
            .status
            .and_then(|status| status.token)
            .context("read the token: the answer has none")
    }

    fn kubeconfig<'a>(&'a self, namespace: &'a str, credential: Credential<'a>) -> Kubeconfig<'a> {
        Kubeconfig {
            server: self.address(),
            authority: self.authority.pem(),
            namespace,
            credential,
        }
    }

    fn write_kubeconfig(&self, name: &str, namespace: &str, credential: Credential<'_>) -> Result<PathBuf> {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{plain}-{number}.kubeconfig"));
        self.kubeconfig(namespace, credential).write(&path)?;
        Ok(path)
    }

    /// Makes a namespace whose name begins with `prefix` and is used by nobody else.
    ///
    /// # Errors
    /// The server refused.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.admin_client().await?);
        let metadata = ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let made = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("make a namespace")?;
        Ok(made.name_any())
    }

    /// Applies YAML as the administrator, see [`apply_yaml`](crate::apply_yaml); objects without a namespace go to
    /// `default`.
    ///
    /// # Errors
    /// As [`apply_yaml`](crate::apply_yaml).
    pub async fn apply_yaml(&self, text: &str) -> Result<Vec<DynamicObject>> {
        apply::apply_yaml(&self.admin_client().await?, "default", text).await
    }

    /// Applies a file or a folder as the administrator, see [`apply_path`](crate::apply_path).
    ///
    /// # Errors
    /// As [`apply_path`](crate::apply_path).
    pub async fn apply_path(&self, path: impl AsRef<Path>) -> Result<Vec<DynamicObject>> {
        apply::apply_path(&self.admin_client().await?, "default", path.as_ref()).await
    }

    /// Applies the CRDs of a folder and waits until each is established. May be called by every test of a binary.
    ///
    /// # Errors
    /// As [`apply_path`](crate::apply_path), or the folder holds something else.
    pub async fn install_crds(&self, folder: impl AsRef<Path>) -> Result<()> {
        for object in self.apply_path(folder).await? {
            let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
            if kind != "CustomResourceDefinition" {
                bail!("install CRDs: {} is a {kind}", object.name_any());
            }
        }
        Ok(())
    }

    /// Runs the pinned kubectl with a kubeconfig.
    ///
    /// # Errors
    /// It could not be run or did not end within a minute. Its own failure is in the output.
    pub async fn kubectl(&self, args: &[&str], kubeconfig: &Path) -> Result<Output> {
        let command = tokio::process::Command::new(self.assets.join("kubectl"))
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"))
            .kill_on_drop(true)
            .output();
        let run = tokio::time::timeout(KUBECTL, command).await;
        run.with_context(|| format!("run kubectl {args:?}: not done after {KUBECTL:?}"))?
            .context("run kubectl")
    }

    /// Runs kubectl as an administrator, and gives its output.
    ///
    /// # Errors
    /// It could not be run, or complained: then in its words.
    pub async fn admin_kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.kubectl(args, self.admin_kubeconfig()).await?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Every request answered so far, in order. An event is written just after its answer was sent: wait for it with
    /// [`eventually`].
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit_log(&self) -> Result<Vec<AuditEvent>> {
        audit::read(&self.folder.path().join("audit.log"))
    }
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    install_tls_provider();
    let file = KubeKubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .context("read a kubeconfig")?;
    Client::try_from(config).context("build a client")
}

fn free_ports() -> Result<Ports> {
    let port = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port");
    // All held at once, so that they differ.
    let held = [port()?, port()?, port()?];
    let [etcd, etcd_peers, api_server] = held
        .each_ref()
        .map(|listener| listener.local_addr().map(|it| it.port()));
    Ok(Ports {
        etcd: etcd?,
        etcd_peers: etcd_peers?,
        api_server: api_server?,
    })
}

/// Writes what the API server reads at its start, and gives the administrator's token.
fn write_files(folder: &Path, authority: &Authority) -> Result<String> {
    let admin_token = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let server = authority.server()?;
    let (private, public) = token_key()?;
    let tokens = format!("{admin_token},admin,admin,system:masters\n");
    let files: [(&str, &str); 7] = [
        ("ca.crt", &authority.pem()),
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("tokens.key", &private),
        ("tokens.pub", &public),
        ("tokens.csv", &tokens),
        ("audit-policy.json", audit::POLICY),
    ];
    for (name, content) in files {
        write_private(&folder.join(name), content.as_bytes())?;
    }
    Ok(admin_token)
}

fn etcd(assets: &Path, folder: &Path, ports: Ports) -> Program {
    let clients = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    Program::new(assets.join("etcd"))
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        // Nothing has to survive a power cut, and a lone member should not wait a second before it elects itself.
        .args([
            "--unsafe-no-fsync",
            "--log-level=error",
            "--heartbeat-interval=10",
            "--election-timeout=100",
        ])
        .args([
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
        ])
        .args([
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
        ])
        .arg(format!("--initial-cluster=default={peers}"))
        .unprinted()
}

fn api_server(assets: &Path, folder: &Path, ports: Ports) -> Program {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    Program::new(assets.join("kube-apiserver"))
        .arg(format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd))
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        ])
        .arg(format!("--secure-port={}", ports.api_server))
        .args([file("cert-dir", "certificates"), file("client-ca-file", "ca.crt")])
        .args([
            file("tls-cert-file", "server.crt"),
            file("tls-private-key-file", "server.key"),
        ])
        .args([
            file("service-account-key-file", "tokens.pub"),
            file("service-account-signing-key-file", "tokens.key"),
        ])
        .arg(format!("--service-account-issuer={ISSUER}"))
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC"])
        .arg(file("token-auth-file", "tokens.csv"))
        // It would insist on a ServiceAccount that only a controller manager makes.
        .arg("--disable-admission-plugins=ServiceAccount")
        .args([
            file("audit-policy-file", "audit-policy.json"),
            file("audit-log-path", "audit.log"),
        ])
        .unprinted()
}
