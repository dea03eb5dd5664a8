//! What an object wishes for, as far as the grants of its namespace allow. One that breaks a rule, or does not even parse, wishes for
//! little: then only its identity, its registry, whether anything may be written and whether public access is wanted count, so that it
//! can be deleted and opened. It may have been stored under another version's schema, and whoever is on call cannot mend that.

use sreg_domain::{Desired, Grants};
use sreg_planner::{Violation, validate, what_remains};

use crate::context::Context;
use crate::observe::ObjectNow;

/// What the object wishes for, or what is wrong with one that does not name its registry.
pub(crate) fn wished(context: &Context, now: &ObjectNow, grants: &Grants) -> Result<Desired, Vec<Violation>> {
    match &now.unparsed {
        None => validate(&now.object, &context.settings.plan, grants),
        Some(error) => {
            let violation = Violation {
                path: "spec".into(),
                message: format!("does not parse: {error}"),
            };
            what_remains(&now.object, &context.settings.plan, grants, vec![violation])
        }
    }
}
