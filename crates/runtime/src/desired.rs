//! Resolves an object to what is desired of it, as far as the grants of its namespace allow. Of one that breaks a rule, or does not even
//! parse, little remains: its identity, its registry, whether anything may be written and whether public access is wanted, so that it
//! can be deleted and opened. It may have been stored under another version's schema, and whoever is on call cannot mend that.

use sreg_domain::{Desired, Grants};
use sreg_planner::{Violation, validate, what_remains};

use crate::context::Context;
use crate::grants;
use crate::observe::ObjectNow;

/// What is desired of the object, or what is wrong with one that does not name its registry. Where the grants of its namespace cannot be
/// read nothing is granted, and that is what is told.
pub(crate) async fn resolve_desired(context: &Context, now: &ObjectNow) -> Result<Desired, Vec<Violation>> {
    let granted = grants::serving(context, &now.reference.namespace).await;
    let (grants, unread) = match granted {
        Ok(grants) => (grants, None),
        Err(why) => (Grants::default(), Some(why)),
    };
    let mut desired = match &now.unparsed {
        None => validate(&now.object, &context.settings.plan, &grants),
        Some(error) => {
            let violation = Violation {
                path: "spec".into(),
                message: format!("does not parse: {error}"),
            };
            what_remains(&now.object, &context.settings.plan, &grants, vec![violation])
        }
    }?;
    if let Some(why) = unread {
        let status = why.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
        desired.ungranted = vec![Violation {
            path: "spec".into(),
            message: format!(
                "what its namespace is granted cannot be read, so nothing is read of Azure or written there: {why}{status}"
            ),
        }];
    }
    Ok(desired)
}
