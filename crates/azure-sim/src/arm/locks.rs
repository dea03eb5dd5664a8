//! Resource locks: `CanNotDelete` forbids deleting what lies at or below its scope, `ReadOnly` forbids every write there. What
//! stands above a locked resource cannot be deleted either. Somebody with the right to may make and remove them.

use http::Method;
use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::Call;
use super::path::{ArmPath, name_of};
use crate::json::text;
use crate::permissions::within;
use crate::world::World;

const KIND: &str = "microsoft.authorization/locks";

/// Answers requests for locks. A list holds those at, above and below its scope; with `$filter=atScope()` those at and above.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    match call.method {
        Method::GET if call.path.is_collection() => {
            let scope = call.path.scope.clone();
            let above = call
                .parameter("$filter")
                .is_some_and(|f| f.to_ascii_lowercase().contains("atscope()"));
            let found = call.world.of_kind(KIND).filter(|lock| {
                let locked = scope_of(&lock.id);
                within(&scope, &locked) || (!above && within(&locked, &scope))
            });
            Ok(JsonResponse::list(found.map(|lock| lock.body.clone()).collect()))
        }
        Method::GET => call.read(),
        Method::PUT => {
            let (id, body) = (call.path.text.clone(), call.body()?);
            let level = text(&body, "/properties/level");
            if !["CanNotDelete", "ReadOnly"].contains(&level) {
                let said = format!("The lock level '{level}' is not valid.");
                return Err(ArmError::new(400, "InvalidLockLevel", said));
            }
            let existed = call.world.get(&id).is_some();
            let notes = text(&body, "/properties/notes");
            let lock = json!({
                "id": id, "name": name_of(&id), "type": "Microsoft.Authorization/locks",
                "properties": {"level": level, "notes": notes},
            });
            call.put(&id, lock);
            call.path_answer(if existed { 200 } else { 201 })
        }
        Method::DELETE => {
            let (id, now) = (call.path.text.clone(), call.now);
            let existed = call.world.remove(&id, now);
            Ok(JsonResponse::empty(if existed { 200 } else { 204 }))
        }
        _ => Err(call.no_such_method()),
    }
}

/// Refuses a write that a lock forbids.
pub(crate) fn check(call: &Call<'_>, kind: &str) -> Result<(), ArmError> {
    if call.method == Method::GET || call.method == Method::HEAD || kind == KIND {
        return Ok(());
    }
    let deletes = call.method == Method::DELETE;
    match holder(call.world, &call.path.text, deletes) {
        None => Ok(()),
        Some(error) => Err(ArmError::new(409, "ScopeLocked", text(&error, "/message").to_owned())),
    }
}

/// The error of an operation that would delete this resource, or (not `deletes`) write it, if a lock forbids that.
pub(crate) fn holder(world: &World, id: &str, deletes: bool) -> Option<Value> {
    let mut locks = world.of_kind(KIND);
    let lock = locks.find(|lock| {
        let scope = scope_of(&lock.id);
        let forbids = deletes || text(&lock.body, "/properties/level") == "ReadOnly";
        forbids && (within(id, &scope) || (deletes && within(&scope, id)))
    })?;
    let verb = if deletes { "delete" } else { "write" };
    Some(json!({
        "code": "ScopeLocked",
        "message": format!(
            "The scope '{id}' cannot perform {verb} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
            scope_of(&lock.id)
        ),
    }))
}

fn scope_of(lock: &str) -> String {
    ArmPath::parse(lock).map(|path| path.scope).unwrap_or_default()
}
