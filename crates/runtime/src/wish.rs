//! What an object wishes for. One that breaks a rule, or does not even parse, wishes for nothing: then only its identity, its
//! registry and whether anything may be written count, so that it can be deleted and opened in an emergency. It may have been
//! stored under another version's schema, and whoever is on call cannot mend that.

use sreg_domain::Desired;
use sreg_planner::{Violation, validate, what_remains};

use crate::context::Context;
use crate::observe::ObjectNow;

/// What the object wishes for, or what is wrong with one that does not name its registry.
pub(crate) fn wished(context: &Context, now: &ObjectNow) -> Result<Desired, Vec<Violation>> {
    match &now.declared {
        Ok(declared) => validate(declared, &context.settings.plan),
        Err(error) => {
            let violation = Violation {
                path: "spec".into(),
                message: format!("does not parse: {error}"),
            };
            what_remains(&now.object(), &context.settings.plan, vec![violation])
        }
    }
}
