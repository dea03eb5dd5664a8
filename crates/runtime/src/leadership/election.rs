//! Takes and keeps the leader's Lease. Two things go on at once: `kube-lease-manager` renews, takes and clears; and the Lease
//! is read every second, which feeds the fence and notices when a leader that ended in good order has left it free (by
//! itself, the crate would look again only when that leader's last renewal expires).

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseParams};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::LeadershipFence;
use super::fence::{Fence, Lapse, Moment, Reading};
use super::settings::{LeaseSettings, LeaseSettingsError};
use crate::api_words;

/// Why an election ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum LeadershipError {
    /// The times of the Lease do not fit together.
    #[error(transparent)]
    Settings(#[from] LeaseSettingsError),
    /// No client could be made.
    #[error("make a client for the leader's lease {namespace}/{name}")]
    Client {
        /// Namespace of the Lease.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// We led and must not rely on it any more: the process has to end.
    #[error("lead by lease {namespace}/{name}")]
    Lost {
        /// Namespace of the Lease.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        lapse: Lapse,
    },
}

/// The fence as the rest of the process sees it.
#[derive(Debug, Clone)]
pub struct LeaseFence {
    fence: Arc<Mutex<Fence>>,
}

impl LeaseFence {
    fn with<T>(&self, look: impl FnOnce(&mut Fence) -> T) -> T {
        // The fence is consistent between any two of its lines: a panic elsewhere leaves nothing half-done.
        look(&mut self.fence.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LeadershipFence for LeaseFence {
    fn held_for(&self) -> Option<Duration> {
        self.with(|fence| fence.held_for(Moment::now()))
    }
}

/// One process's candidacy.
pub struct Election {
    settings: LeaseSettings,
    client: Client,
    leases: Api<Lease>,
    fence: LeaseFence,
    leads: watch::Sender<bool>,
    /// The crate says that something changed: look at once.
    look_now: Notify,
    /// The Lease is free: the crate is to look at once.
    free: Notify,
}

impl Election {
    /// A candidacy that has not begun. The Lease gets a client of its own: no retries behind our back, and no call that
    /// outlives the margin.
    ///
    /// # Errors
    /// The settings do not fit together, or no client could be made.
    pub fn new(mut config: Config, settings: LeaseSettings) -> Result<Election, LeadershipError> {
        settings.check()?;
        config.default_retry = false;
        config.connect_timeout = Some(settings.margin);
        config.read_timeout = Some(settings.margin);
        config.write_timeout = Some(settings.margin);
        config.reset_reader_on_write = true;
        let client = Client::try_from(config).map_err(|source| LeadershipError::Client {
            namespace: settings.namespace.clone(),
            name: settings.name.clone(),
            source: Box::new(source),
        })?;
        let fence = Fence::new(settings.identity.clone(), settings.margin);
        Ok(Election {
            leases: Api::namespaced(client.clone(), &settings.namespace),
            client,
            fence: LeaseFence {
                fence: Arc::new(Mutex::new(fence)),
            },
            leads: watch::Sender::new(false),
            look_now: Notify::new(),
            free: Notify::new(),
            settings,
        })
    }

    /// What `act` and `report` ask.
    pub fn fence(&self) -> LeaseFence {
        self.fence.clone()
    }

    /// Turns true, once, when the fence is up for the first time.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Stands for election until `resign` is cancelled, then gives the Lease up if we hold it.
    ///
    /// # Errors
    /// [`LeadershipError::Lost`] if we led and must not rely on it any more. Whatever else fails is logged and tried again.
    pub async fn run(self, resign: CancellationToken) -> Result<(), LeadershipError> {
        let Some(manager) = self.prepare(&resign).await else {
            return Ok(());
        };
        let lapse = {
            // Dropped before the release, which must not meet a renewal of our own half way.
            let renewing = pin!(self.renew(&manager));
            let reading = pin!(self.read());
            tokio::select! {
                biased;
                () = resign.cancelled() => None,
                lapse = reading => Some(lapse),
                () = renewing => None,
            }
        };
        match lapse {
            Some(lapse) => {
                let LeaseSettings { namespace, name, .. } = self.settings;
                Err(LeadershipError::Lost { namespace, name, lapse })
            }
            None => {
                self.fence.with(Fence::resign);
                self.release(&manager).await;
                Ok(())
            }
        }
    }

    /// Makes the Lease if it is not there. `None` if asked to resign before.
    async fn prepare(&self, resign: &CancellationToken) -> Option<LeaseManager> {
        let LeaseSettings {
            namespace,
            name,
            identity,
            duration,
            grace,
            margin,
            read_every,
        } = &self.settings;
        loop {
            let build = LeaseManagerBuilder::new(self.client.clone(), name)
                .with_namespace(namespace)
                .with_parameters(LeaseParams::new(identity, duration.as_secs(), grace.as_secs()))
                .build();
            let attempt = async { timeout(*margin * 2, build).await };
            let built = tokio::select! {
                () = resign.cancelled() => return None,
                built = attempt => built,
            };
            match built {
                Ok(Ok(manager)) => return Some(manager),
                Ok(Err(error)) => {
                    tracing::warn!(%namespace, %name, error = api_words::of_lease(&error), "cannot make the leader's lease, trying again")
                }
                Err(_) => tracing::warn!(%namespace, %name, "cannot make the leader's lease: no answer, trying again"),
            }
            tokio::select! {
                () = resign.cancelled() => return None,
                () = sleep(*read_every) => {}
            }
        }
    }

    /// Drives the crate. Never ends by itself.
    async fn renew(&self, manager: &LeaseManager) {
        loop {
            tokio::select! {
                biased;
                // The crate sleeps until the last renewal that it saw expires; on a process that is not the holder a release
                // only reads again, and the next round takes what is free.
                () = self.free.notified() => self.release(manager).await,
                changed = manager.changed() => match changed {
                    Ok(holds) => {
                        tracing::info!(holds, "the leader's lease changed hands");
                        self.look_now.notify_one();
                    }
                    Err(error) => {
                        tracing::warn!(error = api_words::of_lease(&error), "cannot renew or take the leader's lease, trying again");
                        sleep(self.settings.read_every).await;
                    }
                },
            }
        }
    }

    /// Reads the Lease until the fence, once up, lapses.
    async fn read(&self) -> Lapse {
        let mut seen = Reading::default();
        loop {
            let next = Instant::now() + self.settings.read_every;
            if let Some(reading) = self.read_once().await {
                self.poke_if_freed(&seen, &reading);
                seen = reading;
            }
            let (lapse, held_until) = self.fence.with(|fence| {
                let held = fence.held_for(Moment::now()).and_then(|_| fence.held_until());
                (fence.lapse().cloned(), held)
            });
            if let Some(lapse) = lapse {
                return lapse;
            }
            self.leads.send_if_modified(|leads| {
                let first = !*leads && held_until.is_some();
                *leads |= first;
                first
            });
            tokio::select! {
                () = sleep_until(held_until.map_or(next, |until| until.min(next))) => {}
                () = self.look_now.notified() => {}
            }
        }
    }

    async fn read_once(&self) -> Option<Reading> {
        let LeaseSettings {
            namespace,
            name,
            margin,
            ..
        } = &self.settings;
        let asked = Instant::now();
        match timeout(*margin, self.leases.get(name)).await {
            Ok(Ok(lease)) => {
                let reading = reading(lease);
                self.fence.with(|fence| fence.learn(asked, &reading, Moment::now()));
                return Some(reading);
            }
            Ok(Err(error)) => {
                tracing::warn!(%namespace, %name, error = api_words::of(&error), "cannot read the leader's lease, trying again")
            }
            Err(_) => tracing::warn!(%namespace, %name, "cannot read the leader's lease: no answer within {margin:?}"),
        }
        None
    }

    /// Only while the crate sleeps, that is, until the renewal that was seen last expires: a release of something that has
    /// expired would clear it, and with it what another standby has taken since.
    fn poke_if_freed(&self, before: &Reading, now: &Reading) {
        let other = before
            .holder
            .as_deref()
            .is_some_and(|holder| holder != self.settings.identity);
        let expires = before
            .renewed
            .zip(before.duration)
            .and_then(|(renewed, duration)| renewed.checked_add(duration).ok());
        let sleeps = expires.is_some_and(|expires| expires > jiff::Timestamp::now());
        if other && now.holder.is_none() && sleeps {
            tracing::info!("the leader gave its lease up");
            self.free.notify_one();
        }
    }

    /// The crate panics where the server reports a conflict that it does not expect here: that is an error like any other.
    async fn release(&self, manager: &LeaseManager) {
        let released = AssertUnwindSafe(manager.release()).catch_unwind();
        match timeout(self.settings.margin, released).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(
                    error = api_words::of_lease(&error),
                    "cannot release the leader's lease: it will expire"
                )
            }
            Ok(Err(_)) => tracing::warn!("cannot release the leader's lease: conflict; it will expire"),
            Err(_) => tracing::warn!("cannot release the leader's lease: no answer; it will expire"),
        }
    }
}

fn reading(lease: Lease) -> Reading {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Reading {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec.renew_time.map(|time| time.0),
        duration: seconds.map(Duration::from_secs),
    }
}
