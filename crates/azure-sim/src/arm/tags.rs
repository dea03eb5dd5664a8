//! `Microsoft.Resources/tags/default` below any resource: all its tags at once, replaced, merged or deleted. Azure compares names
//! without case.

use http::Method;
use serde_json::{Map, Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::Call;
use crate::json::text;

/// A resource holds so many.
const MOST: usize = 50;

/// Answers requests for the tags of what stands before the path's last `/providers/`.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let scope = call.path.scope.clone();
    let Some(resource) = call.world.get(&scope) else {
        return Err(ArmError::not_found(&scope));
    };
    let before = tags_of(&resource.body);
    match call.method {
        Method::GET => Ok(answer(call, &before)),
        Method::PUT | Method::PATCH => {
            let after = after(call, &before)?;
            if after.len() > MOST {
                let said = format!("The number of tags on resource '{scope}' exceeds the limit of {MOST}.");
                return Err(ArmError::new(400, "TagsQuotaExceeded", said));
            }
            let tags = Value::Object(after.clone());
            call.edit(&scope, |body| body["tags"] = tags);
            Ok(answer(call, &after))
        }
        Method::DELETE => {
            call.edit(&scope, |body| body["tags"] = json!({}));
            Ok(JsonResponse::empty(200))
        }
        _ => Err(call.no_such_method()),
    }
}

/// The tags of the resource once this request has been carried out.
pub(crate) fn after(call: &Call<'_>, before: &Map<String, Value>) -> Result<Map<String, Value>, ArmError> {
    let body = call.body()?;
    let sent = body
        .pointer("/properties/tags")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let operation = match call.method {
        Method::PATCH => text(&body, "/operation").to_lowercase(),
        _ => "replace".to_owned(),
    };
    let mut all = before.clone();
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    match operation.as_str() {
        "replace" => all = sent,
        "merge" => {
            for (name, value) in sent {
                let spelled = all.keys().find(|known| same(known, &name)).cloned().unwrap_or(name);
                all.insert(spelled, value);
            }
        }
        "delete" => all.retain(|known, _| !sent.keys().any(|name| same(name, known))),
        other => {
            let said = format!("The tags operation '{other}' is not supported.");
            return Err(ArmError::new(400, "InvalidTagsOperation", said));
        }
    }
    Ok(all)
}

/// The tags in a body.
pub(crate) fn tags_of(body: &Value) -> Map<String, Value> {
    body.get("tags").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn answer(call: &Call<'_>, tags: &Map<String, Value>) -> JsonResponse {
    JsonResponse::new(
        200,
        json!({"id": call.path.text, "name": "default", "type": "Microsoft.Resources/tags", "properties": {"tags": tags}}),
    )
}
