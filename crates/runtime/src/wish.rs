//! What an object wishes for, as far as the grants of its namespace allow. One that breaks a rule, or does not even parse, wishes for
//! little: then only its identity, its registry, whether anything may be written and whether public access is wanted count, so that it
//! can be deleted and opened. It may have been stored under another version's schema, and whoever is on call cannot mend that.

use sreg_domain::{Desired, Grants};
use sreg_planner::{Violation, validate, what_remains};

use crate::context::Context;
use crate::grants;
use crate::observe::ObjectNow;

/// The grants of its namespace, or why they are not known: then nothing is granted, and that is what is told.
pub(crate) async fn granted(context: &Context, now: &ObjectNow) -> (Grants, Option<Violation>) {
    match grants::serving(context, &now.reference.namespace).await {
        Ok(grants) => (grants, None),
        Err(why) => {
            let unread = Violation {
                path: "spec".into(),
                message: format!(
                    "what its namespace is granted cannot be read, so nothing is read of Azure or written there: {why}"
                ),
            };
            (Grants::default(), Some(unread))
        }
    }
}

/// What the object wishes for, or what is wrong with one that does not name its registry.
pub(crate) fn wished(
    context: &Context,
    now: &ObjectNow,
    (grants, unread): &(Grants, Option<Violation>),
) -> Result<Desired, Vec<Violation>> {
    let mut desired = match &now.unparsed {
        None => validate(&now.object, &context.settings.plan, grants),
        Some(error) => {
            let violation = Violation {
                path: "spec".into(),
                message: format!("does not parse: {error}"),
            };
            what_remains(&now.object, &context.settings.plan, grants, vec![violation])
        }
    }?;
    if let Some(unread) = unread {
        desired.ungranted = vec![unread.clone()];
    }
    Ok(desired)
}
