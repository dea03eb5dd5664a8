//! What remains of an object that breaks a rule, or names what no grant covers: its identity, its registry, whether anything may be
//! written and whether public access is wanted.

use sreg_api::SecureRegistry;
use sreg_domain::desired::{Violation, Wrong};
use sreg_domain::{ArmId, Desired, Grants};

use super::{Checks, PlanSettings, desired, granted, parse, registry_id};

/// What remains of an object that breaks these rules.
pub fn what_remains(
    object: &SecureRegistry,
    settings: &PlanSettings,
    grants: &Grants,
    violations: Vec<Violation>,
) -> Result<Desired, Vec<Violation>> {
    let registry = registry_of_broken(object);
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let refused = registry
        .as_ref()
        .and_then(|id| granted::registry_refused(namespace, id, grants));
    let wrong = Wrong::of(violations.clone(), refused.into_iter().collect());
    match registry.zip(wrong) {
        Some((registry, wrong)) => Ok(remains(object, settings, grants, registry, wrong)),
        None => Err(violations),
    }
}

/// What remains of an object while nobody knows what its namespace is granted, and `why`: nothing is granted then. `unparsed`: what is
/// wrong with one that does not even parse.
pub fn what_remains_without_grants(
    object: &SecureRegistry,
    settings: &PlanSettings,
    unparsed: Option<Violation>,
    why: Violation,
) -> Result<Desired, Vec<Violation>> {
    let mut checks = Checks::default();
    match unparsed {
        Some(violation) => checks.found.push(violation),
        None => {
            registry_id(object, &mut checks);
            parse(object, settings, &mut checks);
        }
    }
    let wrong = Wrong::of(checks.found.clone(), vec![why]);
    match registry_of_broken(object).zip(wrong) {
        Some((registry, wrong)) => Ok(remains(object, settings, &Grants::default(), registry, wrong)),
        None => Err(checks.found),
    }
}

/// The registry that an object names which is wrong otherwise.
fn registry_of_broken(object: &SecureRegistry) -> Option<ArmId> {
    let id = registry_id(object, &mut Checks::default());
    id.or_else(|| object.metadata.deletion_timestamp.is_some().then(nowhere))
}

/// What remains of a broken object: on deletion release what the cluster holds, open where that is wanted, else leave Azure as it is.
pub(super) fn remains(
    object: &SecureRegistry,
    settings: &PlanSettings,
    grants: &Grants,
    registry: ArmId,
    wrong: Wrong,
) -> Desired {
    Desired {
        stands_on: granted::of_registry(&registry, grants),
        separate_approver: granted::separate_approver(grants),
        ..desired(object, settings, grants, registry, Err(wrong))
    }
}

/// An id that no registry has: stands where an invalid object names none.
fn nowhere() -> ArmId {
    let subscription = "/subscriptions/00000000-0000-0000-0000-000000000000";
    let id = format!("{subscription}/resourceGroups/none/providers/Microsoft.MachineLearningServices/registries/none");
    match id.parse() {
        Ok(id) => id,
        // The text above is a constant; a test parses it.
        Err(_) => unreachable!("a constant id parses"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_id_that_stands_for_none_parses() {
        assert_eq!(super::nowhere().name(), "none");
    }
}
