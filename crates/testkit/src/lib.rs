//! What integration tests stand on, and nothing of the product itself: a real kube-apiserver and etcd with RBAC on
//! ([`ControlPlane`]), the built programs as child processes ([`Program`], [`Process`]), and conditions awaited with a
//! deadline ([`eventually`]). What a test starts never outlives it, not even when the test is killed: one watchdog per
//! test process sees to that.
//!
//! ```text
//! test process ──► ControlPlane ──► kube-apiserver ──► etcd
//!      │       ──► Process (operator, agent, azure-sim)
//!      └─ pipe ──► watchdog: at end of file it kills every process and removes every folder it was told of
//! ```

// Tests read what is printed here: the server's version, and the output of a program whose test failed.
#![allow(clippy::print_stderr)]

mod apply;
mod audit;
mod control_plane;
mod eventually;
mod identity;
mod kstatus;
mod kubeconfig;
mod process;
mod programs;
mod watchdog;

pub use apply::{apply_path, apply_yaml};
pub use audit::AuditEvent;
pub use control_plane::ControlPlane;
pub use eventually::{Verdict, eventually};
pub use kstatus::{argo_health, kstatus};
pub use process::{Process, Program, binary_path};
pub use programs::assets;

/// Makes ring the process's TLS provider, which kube and reqwest need before their first connection. May be called any
/// number of times, by any test; [`ControlPlane`] does it by itself.
pub fn install_tls_provider() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
