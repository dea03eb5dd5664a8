//! Carries out one action. Decides nothing: an action is complete, and a world that is not as the plan saw it makes it stale.
//! Every write is preceded by a fresh read of what it could harm; long-running operations are started and left.

mod endpoints;
mod narrowing;
mod registry;
mod settings;
mod tags;
mod zones;

use azure_core::http::Method;
use serde_json::Value;
use sreg_domain::StepId;
use sreg_domain::action::{AzureAction, Effect};
use sreg_domain::{ArmId, CallFailure, Cause};
use tokio::time::Instant;

use crate::arm::{Arm, ArmResponse, Call, Leaving, Payer};
use crate::client::Inner;
use crate::operations;
use crate::settings::Lane;

/// One step being carried out.
pub(super) struct Work<'a> {
    inner: &'a Inner,
    step: &'a StepId,
    /// For whom it is done.
    payer: Payer,
    deadline: Instant,
}

/// Carries out one action.
pub(crate) async fn carry_out(
    inner: &Inner,
    namespace: &str,
    step: &StepId,
    action: &AzureAction,
    deadline: Instant,
) -> Result<Effect, CallFailure> {
    let lane = if action.is_opening() {
        Lane::Urgent
    } else {
        Lane::Ordinary
    };
    let work = Work {
        inner,
        step,
        payer: Payer::new(namespace, lane),
        deadline,
    };
    let result = match action {
        AzureAction::CreateRegistry {
            id,
            locations,
            tags,
            assigned_identities,
        } => registry::create(&work, id, locations, tags, assigned_identities).await,
        AzureAction::SetTags {
            id,
            tags,
            removed,
            expected,
        } => registry::set_tags(&work, id, (tags, removed), expected).await,
        AzureAction::GrantManagedGroupAccess {
            id,
            principal,
            expected,
        } => settings::grant(&work, id, principal, expected).await,
        AzureAction::CreateEndpoint {
            id,
            location,
            subnet,
            target,
            group,
            manual_request,
            tags,
            owner,
        } => {
            let wanted = endpoints::NewEndpoint {
                id,
                location,
                subnet,
                target,
                group: *group,
                manual_request,
                tags,
                owner,
            };
            endpoints::create(&work, &wanted).await
        }
        AzureAction::DeleteEndpoint { id, owner } => endpoints::delete(&work, id, owner).await,
        AzureAction::PutZoneGroup { id, zones, owner } => endpoints::put_zone_group(&work, id, zones, owner).await,
        AzureAction::DeleteZoneGroup { id, owner } => endpoints::delete_zone_group(&work, id, owner).await,
        AzureAction::MergeTags { id, tags, owner } => tags::merge(&work, id, tags, owner).await,
        AzureAction::CreateZone { id, tags, owner } => zones::create(&work, id, tags, owner).await,
        AzureAction::LinkZone {
            id,
            virtual_network,
            resolution_policy,
            tags,
            owner,
        } => zones::link(&work, id, virtual_network, *resolution_policy, (tags, owner)).await,
        AzureAction::Edit {
            target,
            id,
            edit,
            expected,
        } => settings::edit(&work, *target, id, edit, expected).await,
    };
    if result.is_ok() {
        match action {
            AzureAction::CreateRegistry { id, .. }
            | AzureAction::CreateEndpoint { id, .. }
            | AzureAction::CreateZone { id, .. } => {
                inner.remember_created(id);
            }
            AzureAction::DeleteEndpoint { id, .. } => inner.forget_created(id),
            AzureAction::SetTags { .. }
            | AzureAction::MergeTags { .. }
            | AzureAction::GrantManagedGroupAccess { .. }
            | AzureAction::LinkZone { .. }
            | AzureAction::PutZoneGroup { .. }
            | AzureAction::DeleteZoneGroup { .. }
            | AzureAction::Edit { .. } => {}
        }
    }
    result.map_err(Refusal::into_failure)
}

/// Why an action was not carried out: Azure's error, or our own.
pub(super) enum Refusal {
    Call(Box<CallFailure>),
    Ours { attempt: String, message: String },
}

impl From<CallFailure> for Refusal {
    fn from(error: CallFailure) -> Refusal {
        Refusal::Call(Box::new(error))
    }
}

impl Refusal {
    fn into_failure(self) -> CallFailure {
        match self {
            Refusal::Call(error) => error.into_failure(),
            Refusal::Ours { attempt, message } => CallFailure::local(attempt, Cause::Refused, message),
        }
    }
}

type Carried = Result<Effect, Refusal>;

impl Work<'_> {
    fn arm(&self) -> &Arm {
        &self.inner.arm
    }

    /// It opens public access: no budget of ours, spent on other things or paused by them, keeps anybody from the way back.
    fn urgent(&self) -> bool {
        self.payer.lane == Lane::Urgent
    }

    async fn read(&self, id: &ArmId) -> Result<Value, CallFailure> {
        let call = Call::read(self.arm(), id).on_behalf_of(&self.payer);
        let call = if self.urgent() { call.prepaid() } else { call };
        self.arm().send(call, self.deadline).await?.object()
    }

    async fn find(&self, id: &ArmId) -> Result<Option<Value>, CallFailure> {
        match self.read(id).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.cause == Cause::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the budget of a write that follows a read at once.
    async fn reserve_write(&self, id: &ArmId, attempt: &str) -> Result<(), CallFailure> {
        if self.urgent() {
            return Ok(());
        }
        self.arm().reserve_write(id, attempt, &self.payer, self.deadline).await
    }

    /// Sends a write; what it started is left to itself.
    async fn put(&self, id: &ArmId, body: Value, attempt: String) -> Result<ArmResponse, CallFailure> {
        self.send(Method::Put, id, body, attempt).await
    }

    async fn send(&self, method: Method, id: &ArmId, body: Value, attempt: String) -> Result<ArmResponse, CallFailure> {
        self.arm()
            .send(self.write(method, id, body, attempt), self.deadline)
            .await
    }

    fn write(&self, method: Method, id: &ArmId, body: Value, attempt: String) -> Call {
        Call::write(self.arm(), method, id, body, attempt).on_behalf_of(&self.payer)
    }

    /// Sends a write whose budget was taken, where it needs any, before the read that it rests on.
    async fn write_at_once(
        &self,
        method: Method,
        id: &ArmId,
        body: Value,
        attempt: String,
    ) -> Result<ArmResponse, CallFailure> {
        let call = self.write(method, id, body, attempt).prepaid();
        self.arm().send(call, self.deadline).await
    }

    /// Creates only if absent. `None`: it exists already.
    async fn create_only(&self, id: &ArmId, body: Value, attempt: String) -> Result<Option<ArmResponse>, CallFailure> {
        let call = self.write(Method::Put, id, body, attempt).header("if-none-match", "*");
        match self.arm().send(call, self.deadline).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.cause == Cause::Precondition => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes over exactly what carries this etag. `None`: it carries another one by now.
    async fn replace(
        &self,
        id: &ArmId,
        body: Value,
        etag: &str,
        attempt: String,
    ) -> Result<Option<ArmResponse>, CallFailure> {
        let call = self.write(Method::Put, id, body, attempt).header("if-match", etag);
        match self.arm().send(call, self.deadline).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.cause == Cause::Precondition => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes; gone already is done.
    async fn delete(&self, id: &ArmId) -> Carried {
        let call = Call::delete(self.arm(), id).on_behalf_of(&self.payer);
        match self.arm().send(call, self.deadline).await {
            Ok(answer) => Ok(self.effect(id, &answer)),
            Err(error) if error.cause == Cause::Missing => Ok(done()),
            Err(error) => Err(error.into()),
        }
    }

    fn effect(&self, id: &ArmId, answer: &ArmResponse) -> Effect {
        operations::started(self.arm(), self.step, id, answer)
    }
}

fn done() -> Effect {
    Effect::done()
}

fn stale(why: String) -> Carried {
    Ok(Effect::Stale(why))
}
