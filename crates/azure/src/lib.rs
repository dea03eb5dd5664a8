//! What reads Azure and what writes to it: the ARM client, operations, budgets, credentials, discovery. The only crate that makes a URL.
//!
//! ```text
//! Desired, Known      ─► reader ─ GET ─┐            ┌─ settings: cloud, CA, budgets
//!                                      ├─► arm ─► pipeline (azure_core, retries off) ─► HTTPS
//! StepId, AzureAction ─► writer ─ PUT ─┘     ▲
//!                                            └─ identity: one token per scope, rebuilt after a 401
//! ```

mod also_changed;
mod arm;
mod client;
mod edit;
mod identity;
mod json;
mod operations;
mod reader;
mod refused_rules;
mod settings;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use sreg_domain::StepId;
use sreg_domain::action::{AzureAction, Effect};
use sreg_domain::desired::Desired;
use sreg_domain::seen::AzureSeen;
use sreg_domain::{CallFailure, Known};

pub use client::{AuthenticationError, AzureClient, connect, connect_through};
pub use edit::settings_after;
pub use settings::{AzureSettings, Budget, Budgets, ConnectError, CredentialKind, Lane, Patience};

/// Looks at Azure. Never writes, never fails: what cannot be told is `Unknown(why)`.
#[async_trait]
pub trait AzureReader: Send + Sync {
    /// Everything that a plan for `desired` needs to know of Azure, read live and in parallel; `known` is looked at
    /// whatever Azure's lists say. Ends in time with whatever is known by then.
    async fn observe(&self, desired: &Desired, known: &Known, patience: Patience) -> AzureSeen;
}

/// Changes Azure. Decides nothing.
#[async_trait]
pub trait AzureWriter: Send + Sync {
    /// Carries out one action within `deadline`, for an object of this namespace. Long-running operations are started and left.
    async fn carry_out(
        &self,
        namespace: &str,
        step: &StepId,
        action: &AzureAction,
        deadline: Duration,
    ) -> Result<Effect, CallFailure>;
}
