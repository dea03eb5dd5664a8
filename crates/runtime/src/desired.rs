//! Resolves an object to what is desired of it, as far as the grants of its namespace allow. Of one that breaks a rule, or does not even
//! parse, little remains: its identity, its registry, whether anything may be written and whether public access is wanted, so that it
//! can be deleted and opened. It may have been stored under another version's schema, and whoever is on call cannot mend that.

use sreg_domain::CallFailure;
use sreg_domain::Desired;
use sreg_planner::{Violation, validate, what_remains, what_remains_without_grants};

use crate::context::Context;
use crate::grants;
use crate::observe::ObjectNow;

/// What is desired of the object, or what is wrong with one that does not name its registry. Where the grants of its namespace cannot be
/// read nothing is granted, and that is what is told.
pub(crate) async fn resolve_desired(context: &Context, now: &ObjectNow) -> Result<Desired, Vec<Violation>> {
    let settings = &context.settings.plan;
    let unparsed = now.unparsed.as_ref().map(|error| Violation {
        path: "spec".into(),
        message: format!("does not parse: {error}"),
    });
    match (grants::serving(context, &now.reference.namespace).await, unparsed) {
        (Ok(grants), None) => validate(&now.object, settings, &grants),
        (Ok(grants), Some(violation)) => what_remains(&now.object, settings, &grants, vec![violation]),
        (Err(why), unparsed) => what_remains_without_grants(&now.object, settings, unparsed, unread(&why)),
    }
}

fn unread(why: &CallFailure) -> Violation {
    let status = why.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    Violation {
        path: "spec".into(),
        message: format!(
            "what its namespace is granted cannot be read, so nothing is read of Azure or written there: {why}{status}"
        ),
    }
}
