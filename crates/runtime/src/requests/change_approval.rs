//! ChangeApprovals.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use sreg_api::names::APPROVAL_MANAGER;
use sreg_api::{ChangeApproval, ChangeApprovalStatus};
use sreg_domain::seen::ApprovalSeen;
use sreg_planner::{Decided, approval_without_registry};

use super::Request;
use crate::memory::ObjectKey;
use crate::observe::approval_of;

/// The kind.
#[derive(Debug, Clone)]
pub(crate) struct ChangeApprovals;

impl Request for ChangeApprovals {
    type Kind = ChangeApproval;
    type Seen = ApprovalSeen;
    type Status = ChangeApprovalStatus;

    const NAME: &'static str = "changeapprovals";
    const MANAGER: &'static str = APPROVAL_MANAGER;

    fn parse(metadata: &ObjectMeta, spec: Value, status: Value) -> Option<(String, ApprovalSeen)> {
        let (registry, mut approval) = approval_of(metadata, spec, status)?;
        approval.approved_by = String::new();
        Some((registry, approval))
    }

    fn told(seen: &ApprovalSeen) -> Option<&ChangeApprovalStatus> {
        seen.status.as_ref()
    }

    fn decided<'a>(all: &'a Decided, uid: &str) -> Option<&'a ChangeApprovalStatus> {
        all.approvals.get(uid)
    }

    fn alone(
        seen: &ApprovalSeen,
        registry: &ObjectKey,
        violation: Option<&str>,
        _: Timestamp,
    ) -> Option<ChangeApprovalStatus> {
        approval_without_registry(&registry.namespace, seen, &registry.name, violation)
    }

    fn ends(_: &ApprovalSeen) -> Option<Timestamp> {
        None
    }
}
