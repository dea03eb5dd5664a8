//! The error envelope (azure.md §6.3): `{error: {code, message, details: […], innererror, additionalInfo}}`, walked to the
//! deepest code that is known, because the outer ones only say that something inside failed.

use serde_json::Value;

use super::error::cause_of_code;

/// What an envelope says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deepest {
    /// The deepest known code; where none is known, the deepest of all.
    pub(crate) code: Option<String>,
    /// The message that came with it, with the names of denying policies.
    pub(crate) message: Option<String>,
}

struct Level<'a> {
    depth: usize,
    known: bool,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

/// The error of a body that came with a bad status: in the envelope, or bare as some providers write it.
pub(crate) fn deepest(body: &Value) -> Option<Deepest> {
    let error = get(body, "error").filter(|e| !e.is_null()).unwrap_or(body);
    if let Value::String(code) = error {
        // OAuth style: {"error": "invalid_client", "error_description": "…"}.
        let message = get(body, "error_description")
            .or_else(|| get(body, "message"))
            .and_then(Value::as_str);
        return Some(Deepest {
            code: Some(code.clone()),
            message: message.map(str::to_owned),
        });
    }
    let mut levels = Vec::new();
    walk(error, 0, &mut levels);
    // The first of the deepest: later siblings are further findings about the same request.
    let best = levels.iter().reduce(|best, level| {
        if (level.known, level.depth) > (best.known, best.depth) {
            level
        } else {
            best
        }
    })?;
    let mut message = best
        .message
        .or_else(|| levels.iter().rev().find_map(|l| l.message))
        .map(str::to_owned);
    let policies = policies(error);
    if !policies.is_empty() {
        let named = format!("denied by policy {}", policies.join(", "));
        message = Some(message.map_or_else(|| named.clone(), |m| format!("{m} ({named})")));
    }
    let code = best.code.map(str::to_owned);
    (code.is_some() || message.is_some()).then_some(Deepest { code, message })
}

/// The error that a 2xx body carries instead of what was asked for.
pub(crate) fn in_good_answer(body: &Value) -> Option<Deepest> {
    let error = body.get("error").filter(|e| !e.is_null())?;
    deepest(body).or_else(|| {
        Some(Deepest {
            code: None,
            message: Some(error.to_string().chars().take(300).collect()),
        })
    })
}

fn walk<'a>(error: &'a Value, depth: usize, levels: &mut Vec<Level<'a>>) {
    if depth > 32 || levels.len() > 256 {
        return;
    }
    let code = get(error, "code").and_then(Value::as_str).filter(|c| !c.is_empty());
    let message = get(error, "message").and_then(Value::as_str).filter(|m| !m.is_empty());
    if code.is_some() || message.is_some() {
        levels.push(Level {
            depth,
            known: code.is_some_and(|c| cause_of_code(c).is_some()),
            code,
            message,
        });
    }
    for inner in ["innererror", "innerError"]
        .iter()
        .filter_map(|name| error.get(*name))
        .filter(|e| e.is_object())
    {
        walk(inner, depth + 1, levels);
    }
    if let Some(Value::Array(details)) = get(error, "details") {
        details.iter().for_each(|detail| walk(detail, depth + 1, levels));
    }
}

/// A field whose first letter may be written in upper case.
fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| {
        let mut chars = name.chars();
        let capital = chars.next()?.to_ascii_uppercase();
        value.get(format!("{capital}{}", chars.as_str()))
    })
}

/// Names of the policies that refused (`additionalInfo[].type = "PolicyViolation"`).
fn policies(error: &Value) -> Vec<String> {
    let infos = error
        .get("additionalInfo")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    infos
        .iter()
        .filter(|info| {
            info.get("type")
                .and_then(Value::as_str)
                .is_some_and(|t| t.eq_ignore_ascii_case("PolicyViolation"))
        })
        .filter_map(|info| {
            let info = info.get("info")?;
            [
                "policyAssignmentDisplayName",
                "policyAssignmentName",
                "policyDefinitionDisplayName",
                "policyDefinitionName",
            ]
            .iter()
            .find_map(|name| info.get(*name).and_then(Value::as_str).filter(|n| !n.is_empty()))
            .map(|name| format!("{name:?}{}", looked_at(info)))
        })
        .collect()
}

/// The tags and names that a policy judged the request by: what whoever is refused has to change.
fn looked_at(info: &Value) -> String {
    let expressions = info
        .pointer("/evaluationDetails/evaluatedExpressions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let path = |e: &Value| {
        e.get("path")
            .or_else(|| e.get("expression"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut paths: Vec<String> = expressions.iter().filter_map(path).collect();
    paths.retain(|path| path.len() < 128 && (path == "name" || path.to_lowercase().starts_with("tags")));
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        String::new()
    } else {
        format!(" by {}", paths.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_that_judges_by_tags_or_names_says_by_which() {
        let expression =
            |path: &str| json!({"result": "True", "expressionKind": "Field", "expression": path, "path": path});
        let info = json!({"policyAssignmentName": "tags", "evaluationDetails": {"evaluatedExpressions": [
            expression("type"), expression("tags[costCenter]"), expression("name"), null]}});
        let body = json!({"error": {"code": "RequestDisallowedByPolicy", "message": "no",
            "additionalInfo": [{"type": "PolicyViolation", "info": info}]}});
        let (_, message) = codes(body);
        assert_eq!(message, "no (denied by policy \"tags\" by name, tags[costCenter])");
    }

    fn codes(body: Value) -> (String, String) {
        let found = deepest(&body).unwrap();
        (found.code.unwrap_or_default(), found.message.unwrap_or_default())
    }

    #[test]
    fn the_deepest_known_code_is_found_in_every_form_of_the_envelope() {
        let table = [
            (
                json!({"error": {"code": "AuthorizationFailed", "message": "no"}}),
                "AuthorizationFailed",
                "no",
            ),
            (
                json!({"error": {"code": "RetryableError", "message": "a retryable error occurred", "details": [
                    {"code": "ReferencedResourceNotProvisioned", "message": "subnet is Updating"}]}}),
                "ReferencedResourceNotProvisioned",
                "subnet is Updating",
            ),
            (
                json!({"error": {"code": "Conflict", "message": "outer", "details": [{"code": "ResourceDeploymentFailure",
                    "message": "middle", "details": [{"code": "BadRequest", "message": "overlapping namespaces"}]}]}}),
                "BadRequest",
                "overlapping namespaces",
            ),
            // A known code outside beats an unknown one inside.
            (
                json!({"error": {"code": "AuthorizationFailed", "message": "outer", "details": [{"code": "Weird", "message": "x"}]}}),
                "AuthorizationFailed",
                "outer",
            ),
            // Nothing known: the deepest.
            (
                json!({"error": {"code": "A", "message": "a", "details": [{"code": "B", "message": "b"}]}}),
                "B",
                "b",
            ),
            (json!({"code": "ScopeLocked", "message": "bare"}), "ScopeLocked", "bare"),
            (
                json!({"Error": {"Code": "ScopeLocked", "Message": "capitals"}}),
                "ScopeLocked",
                "capitals",
            ),
            (
                json!({"error": "invalid_client", "error_description": "AADSTS7000215"}),
                "invalid_client",
                "AADSTS7000215",
            ),
            (
                json!({"error": {"code": "UserError", "innererror": {"code": "RetryableError"}, "message": "m"}}),
                "RetryableError",
                "m",
            ),
        ];
        for (body, code, message) in table {
            assert_eq!(codes(body.clone()), (code.to_owned(), message.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_denying_policy_is_named() {
        let body = json!({"error": {"code": "RequestDisallowedByPolicy", "message": "Resource was disallowed by policy.",
            "additionalInfo": [{"type": "PolicyViolation", "info": {"policyAssignmentDisplayName": "No public registries"}}]}});
        assert!(codes(body).1.ends_with(r#"(denied by policy "No public registries")"#));
    }

    #[test]
    fn nonsense_is_no_error_and_never_panics() {
        for body in [
            json!({}),
            json!([]),
            json!(null),
            json!(7),
            json!({"error": {}}),
            json!({"error": []}),
            json!({"error": null}),
        ] {
            assert_eq!(deepest(&body), None, "{body}");
        }
        assert!(in_good_answer(&json!({"error": {}})).is_some());
        assert!(in_good_answer(&json!({"id": "x"})).is_none());
        let mut deep = json!({"code": "X"});
        for _ in 0..500 {
            deep = json!({"code": "X", "details": [deep]});
        }
        assert_eq!(deepest(&deep).unwrap().code.as_deref(), Some("X"));
    }
}
