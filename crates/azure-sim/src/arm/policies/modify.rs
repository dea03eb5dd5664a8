//! Modify and append: an assigned policy changes what was sent, before the provider sees it. Whoever wrote is answered as if nothing
//! had happened, and finds something else than what was written. What append would have to change it denies instead (Microsoft
//! Learn, "Azure Policy definitions append effect").

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::conditions::tag_of;
use super::{applying, refusal, written};
use crate::arm::answer::ArmError;
use crate::arm::call::Call;
use crate::json::{get, list, set, text};
use crate::world::key;

/// Changes what a PUT or PATCH sends as the assigned policies say.
///
/// # Errors
/// The refusal of a write that names another value than what a policy appends.
pub(crate) fn modify(call: &mut Call<'_>) -> Result<(), ArmError> {
    let Some(resource) = written(call)? else { return Ok(()) };
    let Ok(mut sent) = serde_json::from_slice::<Value>(&call.sent) else {
        return Ok(());
    };
    let tags_only = call.path.kind() == "microsoft.resources/tags";
    let policies = applying(call.world, &resource, call.clock.at(call.now));
    let mut modified = false;
    for policy in policies.iter().filter(|p| p.has_effect("append")) {
        for addition in list(&policy.rule, "/then/details") {
            let Some(path) = path_of(text(addition, "/field"), &resource.kind, tags_only) else {
                continue;
            };
            modified |= append(&path, &addition["value"], &mut sent).map_err(|()| refusal(call, policy))?;
        }
    }
    for policy in policies.iter().filter(|p| p.has_effect("modify")) {
        for operation in list(&policy.rule, "/then/details/operations") {
            modified |= carry_out(operation, &mut sent, &resource.kind, tags_only);
        }
    }
    if modified {
        call.sent = Cow::Owned(sent.to_string().into_bytes());
    }
    Ok(())
}

/// Where a field of a policy stands in a body that is sent; none for fields of other types.
fn path_of<'a>(field: &'a str, kind: &str, tags_only: bool) -> Option<Vec<&'a str>> {
    match (tag_of(field), field.rsplit_once('/')) {
        (Some(tag), _) if tags_only => Some(vec!["properties", "tags", tag]),
        (Some(tag), _) => Some(vec!["tags", tag]),
        (None, Some((of, path))) if key(of) == key(kind) && !tags_only => {
            Some(std::iter::once("properties").chain(path.split('.')).collect())
        }
        (None, _) => None,
    }
}

/// Adds a value where none was sent, or to a list; whether there was anything to do. An error where another value was sent.
fn append(path: &[&str], value: &Value, sent: &mut Value) -> Result<bool, ()> {
    let every = path.last().and_then(|last| last.strip_suffix("[*]"));
    let Some(name) = every else {
        return match get(sent, path) {
            None => {
                set(sent, path, value.clone());
                Ok(true)
            }
            Some(there) if there == value => Ok(false),
            Some(_) => Err(()),
        };
    };
    let mut whole = path.to_vec();
    if let Some(last) = whole.last_mut() {
        *last = name;
    }
    let there = get(sent, &whole);
    let mut members = there.and_then(Value::as_array).cloned().unwrap_or_default();
    if members.contains(value) {
        return Ok(false);
    }
    members.push(value.clone());
    set(sent, &whole, Value::Array(members));
    Ok(true)
}

/// One operation on what was sent; whether there was anything for it to do.
fn carry_out(operation: &Value, sent: &mut Value, kind: &str, tags_only: bool) -> bool {
    let Some(path) = path_of(text(operation, "/field"), kind, tags_only) else {
        return false;
    };
    let there = get(sent, &path);
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
