//! Modify: an assigned policy changes what was sent, before the provider sees it. Whoever wrote is answered as if nothing had
//! happened, and finds something else than what was written.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::conditions::tag_of;
use super::{applying, written};
use crate::arm::answer::ArmError;
use crate::arm::call::Call;
use crate::json::{list, set, text};
use crate::world::key;

/// Changes what a PUT or PATCH sends as the assigned policies say.
pub(crate) fn modify(call: &mut Call<'_>) -> Result<(), ArmError> {
    let Some(resource) = written(call)? else { return Ok(()) };
    let Ok(mut sent) = serde_json::from_slice::<Value>(&call.sent) else {
        return Ok(());
    };
    let policies = applying(call.world, &resource, call.clock.at(call.now));
    let mut modified = false;
    for policy in policies.iter().filter(|p| p.has_effect("modify")) {
        for operation in list(&policy.rule, "/then/details/operations") {
            modified |= carry_out(
                operation,
                &mut sent,
                &resource.kind,
                call.path.kind() == "microsoft.resources/tags",
            );
        }
    }
    if modified {
        call.sent = Cow::Owned(sent.to_string().into_bytes());
    }
    Ok(())
}

/// One operation on what was sent; whether there was anything for it to do.
fn carry_out(operation: &Value, sent: &mut Value, kind: &str, tags_only: bool) -> bool {
    let field = text(operation, "/field");
    let path: Vec<&str> = match (tag_of(field), field.rsplit_once('/')) {
        (Some(tag), _) if tags_only => vec!["properties", "tags", tag],
        (Some(tag), _) => vec!["tags", tag],
        (None, Some((of, path))) if key(of) == key(kind) && !tags_only => {
            std::iter::once("properties").chain(path.split('.')).collect()
        }
        (None, _) => return false,
    };
    let there = path.iter().try_fold(&*sent, |at, segment| at.get(segment));
    let value = &operation["value"];
    match text(operation, "/operation").to_ascii_lowercase().as_str() {
        "addorreplace" if there != Some(value) => set(sent, &path, value.clone()),
        "add" if there.is_none() => set(sent, &path, value.clone()),
        "remove" if there.is_some() => remove(sent, &path),
        _ => return false,
    }
    true
}

fn remove(sent: &mut Value, path: &[&str]) {
    let Some((last, front)) = path.split_last() else { return };
    let holder = front.iter().try_fold(sent, |at, segment| at.get_mut(segment));
    if let Some(fields) = holder.and_then(Value::as_object_mut) {
        let _: Option<Value> = Map::remove(fields, *last);
    }
}
