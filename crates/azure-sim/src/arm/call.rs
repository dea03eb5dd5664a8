//! One authenticated ARM request on its way through: the world, the clock's time, who asks, and what every provider needs:
//! reading, starting operations, the headers to poll by. Synchronous; both locks are held while a call lives.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::path::{ArmPath, name_of};
use crate::clock::Clock;
use crate::control::Control;
use crate::json::{guid, text};
use crate::latency::Work;
use crate::operations::{Last, Plan};
use crate::permissions::{Principal, require, require_linked};
use crate::world::{Key, Resource, World, key};

/// By which header an operation is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// `Azure-AsyncOperation`.
    AsyncOperation,
    /// `Location`.
    Location,
    /// Both.
    Both,
}

/// A request on its way.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) control: &'a mut Control,
    pub(crate) clock: &'a Clock,
    pub(crate) now: Duration,
    pub(crate) principal: Arc<Principal>,
    pub(crate) method: Method,
    pub(crate) path: &'a ArmPath,
    pub(crate) api_version: String,
    pub(crate) headers: &'a HeaderMap,
    /// `https://host:port` as the caller wrote it: where poll URLs lead.
    pub(crate) base: &'a str,
    pub(crate) sent: Cow<'a, [u8]>,
    /// An injected fault: the operation that this call starts fails with this `error` object.
    pub(crate) operation_fault: Option<Value>,
}

impl Call<'_> {
    /// The body as JSON object; 400 where it is none.
    pub(crate) fn body(&self) -> Result<Value, ArmError> {
        let invalid = |why: String| {
            ArmError::new(
                400,
                "InvalidRequestContent",
                format!("The request content was invalid and could not be deserialized: '{why}'."),
            )
        };
        let body: Value = serde_json::from_slice(&self.sent).map_err(|e| invalid(e.to_string()))?;
        if body.is_object() {
            Ok(body)
        } else {
            Err(invalid("an object is required".to_owned()))
        }
    }

    /// GET of one resource or, for a collection path, the list.
    pub(crate) fn read(&self) -> Result<Answer, ArmError> {
        if self.path.is_collection() {
            return Ok(Answer::list(self.listed()));
        }
        match self.world.get(&self.path.text) {
            Some(resource) => Ok(Answer::new(200, render(self.world, resource))),
            None => Err(ArmError::not_found(&self.path.text)),
        }
    }

    /// For types that are only read here.
    pub(crate) fn read_only(&self) -> Result<Answer, ArmError> {
        match self.method {
            Method::GET => self.read(),
            _ => Err(self.no_such_method()),
        }
    }

    /// All resources of the path's type within its scope.
    pub(crate) fn listed(&self) -> Vec<Value> {
        let kind = self.path.kind();
        let parent = self.path.parent();
        let scope = match self.path.types.len() {
            0 | 1 => &self.path.scope,
            _ => &parent,
        };
        let found = self.world.below(scope).filter(|r| r.kind == kind);
        found.map(|r| render(self.world, r)).collect()
    }

    /// This status with the path's resource as it is now.
    pub(crate) fn path_answer(&self, status: u16) -> Result<Answer, ArmError> {
        match self.world.get(&self.path.text) {
            Some(resource) => Ok(Answer::new(status, render(self.world, resource))),
            None => Err(ArmError::not_found(&self.path.text)),
        }
    }

    /// Writes a resource as this caller.
    pub(crate) fn put(&mut self, id: &str, body: Value) {
        self.world.put(id, body, self.now);
    }

    /// Edits a resource as this caller.
    pub(crate) fn edit(&mut self, id: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.world.edit(id, self.now, edit)
    }

    /// Checks an action of the caller.
    pub(crate) fn require(&self, action: &str, scope: &str) -> Result<(), ArmError> {
        require(self.world, &self.principal, action, scope)
    }

    /// Checks an action on a resource that this write refers to; `own` is the write itself.
    pub(crate) fn require_linked(&self, action: &str, linked: &str, own: (&str, &str)) -> Result<(), ArmError> {
        require_linked(self.world, &self.principal, action, linked, own)
    }

    /// Starts an operation on the path's resource; its id.
    pub(crate) fn start(
        &mut self,
        work: Work,
        last: Last,
        effect: impl FnOnce(&mut World, Duration) -> Result<(), Value> + Send + 'static,
    ) -> String {
        self.start_with(work, last, Vec::new(), false, effect)
    }

    /// Starts an operation that keeps things busy, or whose status URL ends in the full object.
    pub(crate) fn start_with(
        &mut self,
        work: Work,
        last: Last,
        busy: Vec<Key>,
        full_object: bool,
        effect: impl FnOnce(&mut World, Duration) -> Result<(), Value> + Send + 'static,
    ) -> String {
        let number = self.control.operations.count().to_string();
        let id = guid(&["operation", &self.path.text.to_ascii_lowercase(), &number]);
        let length = self.control.latencies.length(work, &id);
        let resource = self.path.text.clone();
        let effect: crate::operations::Effect = match self.operation_fault.take() {
            None => Box::new(effect),
            Some(error) => {
                let failed = resource.clone();
                Box::new(move |world: &mut World, at| {
                    mark_failed(world, &failed, at);
                    Err(error)
                })
            }
        };
        let plan = Plan {
            id: id.clone(),
            resource,
            length,
            last,
            full_object,
            busy,
            effect,
        };
        self.control.operations.start(plan, self.now);
        id
    }

    /// The answer to a write that started an operation: the resource as it is now, and where to poll.
    pub(crate) fn accepted(
        &self,
        status: u16,
        id: &str,
        operation: &str,
        headers: Headers,
    ) -> Result<Answer, ArmError> {
        let body = self.world.get(id).map_or(Value::Null, |r| render(self.world, r));
        Ok(self.poll_headers(Answer::new(status, body), operation, headers))
    }

    /// 202 without a body, and where to poll.
    pub(crate) fn accepted_empty(&self, operation: &str, headers: Headers) -> Result<Answer, ArmError> {
        Ok(self.poll_headers(Answer::empty(202), operation, headers))
    }

    /// Adds the headers to poll by.
    pub(crate) fn poll_headers(&self, mut answer: Answer, operation: &str, headers: Headers) -> Answer {
        let url = |what: &str| {
            format!(
                "{}/subscriptions/{}/providers/{}/locations/westeurope/{what}/{operation}?api-version={}",
                self.base,
                self.path.subscription.as_deref().unwrap_or("none"),
                self.path.namespace.as_deref().unwrap_or("Microsoft.Resources"),
                self.api_version,
            )
        };
        if matches!(headers, Headers::AsyncOperation | Headers::Both) {
            answer = answer.with("azure-asyncoperation", url("operationStatuses"));
        }
        if matches!(headers, Headers::Location | Headers::Both) {
            answer = answer.with("location", url("operationResults"));
        }
        answer.operation = Some(operation.to_owned());
        answer.with("retry-after", self.patience().to_string())
    }

    /// `Retry-After` in seconds of the caller's clock.
    pub(crate) fn patience(&self) -> u64 {
        let simulated = Duration::from_secs(self.control.latencies.retry_after());
        self.clock.real(simulated).as_secs_f64().ceil() as u64
    }

    /// 405 for this verb.
    pub(crate) fn no_such_method(&self) -> ArmError {
        ArmError::method(&self.method, &self.path.kind())
    }

    /// 404 for a child whose parent is not there.
    pub(crate) fn parent_missing(&self, parent: &str) -> ArmError {
        ArmError::new(
            404,
            "ParentResourceNotFound",
            format!(
                "Failed to perform '{}' on resource(s) of type '{}', because the parent resource '{parent}' could not be found.",
                match self.method {
                    Method::DELETE => "delete",
                    Method::GET => "read",
                    _ => "write",
                },
                self.path.kind()
            ),
        )
    }

    /// `If-Match` and `If-None-Match` against what is there.
    pub(crate) fn check_preconditions(&self) -> Result<(), ArmError> {
        let present = self.world.get(&self.path.text);
        let header = |name: &str| self.headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let failed = |why: &str| {
            Err(ArmError::new(
                412,
                "PreconditionFailed",
                format!("The condition '{why}' in the header(s) could not be satisfied."),
            ))
        };
        if header("if-none-match") == Some("*") && present.is_some() {
            return failed("If-None-Match: *");
        }
        match (header("if-match"), present) {
            (Some(_), None) => failed("If-Match"),
            (Some(wanted), Some(present)) if wanted != "*" && wanted != etag_of(present) => failed("If-Match"),
            (Some(_), Some(_)) | (None, _) => Ok(()),
        }
    }
}

fn mark_failed(world: &mut World, id: &str, at: Duration) {
    let has_state = world
        .get(id)
        .is_some_and(|r| !text(&r.body, "/properties/provisioningState").is_empty());
    if has_state {
        world.edit(id, at, |body| {
            crate::json::set(body, &["properties", "provisioningState"], json!("Failed"))
        });
    }
}

/// The entity tag of a resource.
pub(crate) fn etag_of(resource: &Resource) -> String {
    format!(
        "W/\"{}\"",
        guid(&["etag", &key(&resource.id), &resource.etag.to_string()])
    )
}

/// The resource as a GET answers it: with its entity tag where the kind has one, ids re-cased where the switch says so.
pub(crate) fn render(world: &World, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    if resource.kind.starts_with("microsoft.network/") {
        body["etag"] = json!(etag_of(resource));
    }
    if world.switches.recase_ids {
        recase(&mut body);
    }
    body
}

/// Re-cases ids the way some resource providers do (azure.md §12, trap 18): names stay, the words around them change.
fn recase(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("/subscriptions/") => {
            let name = name_of(text).to_owned();
            let spelled = text.replace("/resourceGroups/", "/resourcegroups/");
            *text = match spelled.rsplit_once("/providers/") {
                Some((scope, rest)) => {
                    let (front, _) = rest.rsplit_once('/').unwrap_or((rest, ""));
                    format!("{scope}/providers/{}/{name}", lower_types(front))
                }
                None => spelled,
            };
        }
        Value::Array(items) => items.iter_mut().for_each(recase),
        Value::Object(fields) => fields.values_mut().for_each(recase),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Lower-cases namespace and type segments, leaving names.
fn lower_types(front: &str) -> String {
    let lower = |(index, segment): (usize, &str)| match index == 0 || index % 2 == 1 {
        true => segment.to_ascii_lowercase(),
        false => segment.to_owned(),
    };
    front.split('/').enumerate().map(lower).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recasing_changes_the_words_but_not_the_names() {
        let mut body = json!({"id": "/subscriptions/S/resourceGroups/Ml/providers/Microsoft.Network/privateEndpoints/Hub/privateDnsZoneGroups/Default"});
        recase(&mut body);
        assert_eq!(
            body["id"],
            "/subscriptions/S/resourcegroups/Ml/providers/microsoft.network/privateendpoints/Hub/privatednszonegroups/Default"
        );
    }
}
