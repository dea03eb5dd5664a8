//! One authenticated ARM request on its way through: the world, the clock's time, who asks, and what every provider needs:
//! reading, starting operations, the headers to poll by. Synchronous; both locks are held while a call lives.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::path::ArmPath;
use super::rendering::{etag_of, render};
use crate::clock::Clock;
use crate::control::Control;
use crate::json::{guid, text};
use crate::latency::Work;
use crate::operations::{Last, Plan};
use crate::permissions::{Principal, require, require_linked};
use crate::world::{Key, World};

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
    /// All query parameters.
    pub(crate) query: &'a [(String, String)],
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

    /// The first value of a query parameter, whatever the case of its name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        super::parameter(self.query, name)
    }

    /// GET of one resource or, for a collection path, the list.
    pub(crate) fn read(&self) -> Result<JsonResponse, ArmError> {
        if self.path.is_collection() {
            let parent = self.path.parent();
            return match self.path.types.len() > 1 && self.world.get(&parent).is_none() {
                true => Err(self.parent_missing(&parent)),
                false => Ok(JsonResponse::list(self.listed())),
            };
        }
        match self.world.get(&self.path.text) {
            Some(resource) => Ok(JsonResponse::new(200, render(self.world, resource))),
            None => Err(ArmError::not_found(&self.path.text)),
        }
    }

    /// For types that are only read here.
    pub(crate) fn read_only(&self) -> Result<JsonResponse, ArmError> {
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
    pub(crate) fn path_answer(&self, status: u16) -> Result<JsonResponse, ArmError> {
        match self.world.get(&self.path.text) {
            Some(resource) => Ok(JsonResponse::new(status, render(self.world, resource))),
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

    /// Deletes the path's resource at once: 200 with what was there, else 204.
    pub(crate) fn delete(&mut self) -> JsonResponse {
        let found = self.world.get(&self.path.text).map(|r| r.body.clone());
        self.world.remove(&self.path.text, self.now);
        found.map_or_else(|| JsonResponse::empty(204), |body| JsonResponse::new(200, body))
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
        self.start_with(work, last, Vec::new(), effect)
    }

    /// Starts an operation that keeps things busy.
    pub(crate) fn start_with(
        &mut self,
        work: Work,
        last: Last,
        busy: Vec<Key>,
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
            started_by: self.principal.object_id.clone(),
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
    ) -> Result<JsonResponse, ArmError> {
        let body = self.world.get(id).map_or(Value::Null, |r| render(self.world, r));
        Ok(self.poll_headers(JsonResponse::new(status, body), operation, headers))
    }

    /// 202 without a body, and where to poll.
    pub(crate) fn accepted_empty(&self, operation: &str, headers: Headers) -> Result<JsonResponse, ArmError> {
        Ok(self.poll_headers(JsonResponse::empty(202), operation, headers))
    }

    /// Adds the headers to poll by.
    pub(crate) fn poll_headers(&self, mut answer: JsonResponse, operation: &str, headers: Headers) -> JsonResponse {
        let (status, result) = self.poll_paths();
        let url = |path: String| format!("{}{path}/{operation}?api-version={}", self.base, self.api_version);
        if matches!(headers, Headers::AsyncOperation | Headers::Both) {
            answer = answer.with("azure-asyncoperation", url(status));
        }
        if matches!(headers, Headers::Location | Headers::Both) {
            answer = answer.with("location", url(result));
        }
        answer.operation = Some(operation.to_owned());
        answer.with("retry-after", self.patience().to_string())
    }

    /// Where operations of the path's provider are polled: their status, and their result. Private DNS keeps them below the
    /// resource group, the others below a location.
    fn poll_paths(&self) -> (String, String) {
        let subscription = format!("/subscriptions/{}", self.path.subscription.as_deref().unwrap_or("none"));
        let Some(namespace) = self.path.namespace.as_deref() else {
            return (
                format!("{subscription}/operationStatuses"),
                format!("{subscription}/operationResults"),
            );
        };
        let kind = self.path.kind();
        if kind.starts_with("microsoft.network/privatednszones") {
            let group = self.path.group.as_deref().unwrap_or("none");
            let scope = format!("{subscription}/resourceGroups/{group}/providers/{namespace}");
            return (
                format!("{scope}/privateDnsOperationStatuses"),
                format!("{scope}/privateDnsOperationResults"),
            );
        }
        let location = self
            .world
            .get(&self.path.text)
            .map_or("", |r| text(&r.body, "/location"));
        let location = if location.is_empty() { "westeurope" } else { location };
        let scope = format!(
            "{subscription}/providers/{namespace}/locations/{}",
            crate::targets::region(location)
        );
        let status = if kind.starts_with("microsoft.network/") {
            "operations"
        } else {
            "operationStatuses"
        };
        (format!("{scope}/{status}"), format!("{scope}/operationResults"))
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
