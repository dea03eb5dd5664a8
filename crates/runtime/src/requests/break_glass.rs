//! BreakGlasses.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use sreg_api::names::BREAK_GLASS_MANAGER;
use sreg_api::{BreakGlass, BreakGlassStatus};
use sreg_domain::seen::BreakGlassSeen;
use sreg_planner::{Decided, break_glass_without_registry, end_without_registry};

use super::Request;
use crate::memory::ObjectKey;
use crate::observe::break_glass_of;

/// The kind.
#[derive(Debug, Clone)]
pub(crate) struct BreakGlasses;

impl Request for BreakGlasses {
    type Kind = BreakGlass;
    type Seen = BreakGlassSeen;
    type Status = BreakGlassStatus;

    const NAME: &'static str = "breakglasses";
    const MANAGER: &'static str = BREAK_GLASS_MANAGER;

    fn parse(metadata: &ObjectMeta, spec: Value, status: Value) -> Option<(String, BreakGlassSeen)> {
        let (registry, mut glass) = break_glass_of(metadata, spec, status)?;
        (glass.reason, glass.requested_by) = Default::default();
        Some((registry, glass))
    }

    fn told(seen: &BreakGlassSeen) -> Option<&BreakGlassStatus> {
        seen.status.as_ref()
    }

    fn decided<'a>(all: &'a Decided, uid: &str) -> Option<&'a BreakGlassStatus> {
        all.break_glasses.get(uid)
    }

    fn alone(
        seen: &BreakGlassSeen,
        registry: &ObjectKey,
        violation: Option<&str>,
        now: Timestamp,
    ) -> Option<BreakGlassStatus> {
        break_glass_without_registry(&registry.namespace, seen, &registry.name, violation, now)
    }

    fn ends(seen: &BreakGlassSeen) -> Option<Timestamp> {
        Some(end_without_registry(seen))
    }
}
