//! The handle that everybody holds: world, clock and journal of one simulated Azure, and the requests that it answers.
//! Clones share the same state. Locks are taken in the order control, world, journal, and never held across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::arm::answer::{JsonResponse, insert, into_response};
use crate::arm::{self, connections};
use crate::clock::Clock;
use crate::control::Control;
use crate::data_plane::DataPlaneFaults;
use crate::faults::{FaultEffect, FaultReport, FaultRule, Faults, Struck};
use crate::journal::{Actor, Entry, Journal, Record, RequestEntry, Service};
use crate::json::guid;
use crate::log_analytics::{Caller, Logged};
use crate::oracle::{RequiredPath, required_paths};
use crate::received::Received;
use crate::seed::{Beginning, Seed, build};
use crate::world::{Switches, World};
use crate::{by_hand, control_api, discovery, log_analytics, tokens};

/// One simulated Azure.
#[derive(Debug, Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    control: Mutex<Control>,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    data_plane_faults: DataPlaneFaults,
    clock: Clock,
    journal: Journal,
}

/// Marks, in a response's extensions, that the connection ends without an answer. Transports have to heed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionDropped;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// A world as the seed says. What the seed names but does not hold is left out with a warning;
    /// [`Seed::from_yaml`] refuses such seeds.
    pub fn new(seed: Seed) -> Simulator {
        let Beginning {
            world,
            principals,
            unregistered,
            callers,
            faults,
        } = build(&seed);
        for fault in faults {
            tracing::warn!(%fault, "left out of the world");
        }
        let clock = Clock::new(seed.clock_scale);
        let control = Control::new(
            seed.tenant_id,
            principals,
            seed.latencies,
            seed.throttling,
            seed.token_lifetime_seconds,
            unregistered,
        );
        let inner = Inner {
            control: Mutex::new(control),
            world: Mutex::new(world),
            faults: Mutex::default(),
            data_plane_faults: DataPlaneFaults::default(),
            journal: Journal::new(clock.clone()),
            clock,
        };
        let simulator = Simulator { inner: Arc::new(inner) };
        for caller in callers {
            simulator.add_caller(caller);
        }
        simulator
    }

    /// The simulated clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Simulated time since the start.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// Moves simulated time forward.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
    }

    /// The journal: written by both planes, read by tests. Looks at the world first, so that operations which have come to
    /// their end are in it.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// All records above `since`, with all operations carried out that have come to their end.
    pub fn records_since(&self, since: u64) -> Vec<Record> {
        self.with_world(|_| ());
        self.inner.journal.since(since)
    }

    /// Faults of the data plane.
    pub fn data_plane_faults(&self) -> &DataPlaneFaults {
        &self.inner.data_plane_faults
    }

    /// Looks at the world as it is now, with all operations carried out that have come to their end. Do not await inside.
    pub fn with_world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        let mut control = lock(&self.inner.control);
        let mut world = lock(&self.inner.world);
        self.settle(&mut control, &mut world);
        drop(control);
        look(&world)
    }

    /// Changes the world as somebody outside the story; the journal says `hand`.
    fn by_hand<T>(&self, change: impl FnOnce(&mut World, Duration) -> T) -> T {
        let mut control = lock(&self.inner.control);
        let mut world = lock(&self.inner.world);
        self.settle(&mut control, &mut world);
        drop(control);
        world.actor = Actor::Hand;
        let done = change(&mut world, self.now());
        world.actor = Actor::Service;
        self.write_changes(&mut world);
        done
    }

    fn settle(&self, control: &mut Control, world: &mut World) {
        control.operations.settle(world, self.now());
        self.write_changes(world);
    }

    fn write_changes(&self, world: &mut World) {
        for (at, change) in std::mem::take(&mut world.unwritten) {
            self.inner.journal.record_at(at, Entry::Change(change));
        }
    }

    /// The switches as they are.
    pub fn switches(&self) -> Switches {
        lock(&self.inner.world).switches.clone()
    }

    /// Changes how unsettled behaviour is played, from now on.
    pub fn set_switches(&self, change: impl FnOnce(&mut Switches)) {
        self.by_hand(|world, _| change(&mut world.switches));
    }

    /// Changes a resource's body behind everybody's back; `false` when there is none.
    pub fn change_by_hand(&self, id: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.by_hand(|world, now| world.edit(id, now, change))
    }

    /// Creates or replaces a resource behind everybody's back.
    pub fn put_by_hand(&self, id: &str, body: Value) {
        self.by_hand(|world, now| world.put(id, body, now));
    }

    /// Deletes a resource behind everybody's back, with what Azure would take along; `false` when there is none.
    pub fn delete_by_hand(&self, id: &str) -> bool {
        self.by_hand(|world, now| by_hand::delete(world, id, now))
    }

    /// Approves the connection with this id, or that of the endpoint with this id; `false` when there is none, or
    /// it was rejected.
    pub fn approve(&self, id: &str) -> bool {
        self.decide(id, "Approved", "Approved by hand")
    }

    /// Rejects the connection with this id, or that of the endpoint with this id; `false` when there is none.
    pub fn reject(&self, id: &str) -> bool {
        self.decide(id, "Rejected", "Rejected by hand")
    }

    fn decide(&self, id: &str, status: &str, description: &str) -> bool {
        self.by_hand(|world, now| {
            let Some(endpoint) = by_hand::endpoint_behind(world, id) else {
                return false;
            };
            if status == "Approved" && connections::is_rejected(world, &endpoint) {
                return false;
            }
            connections::set_state(world, &endpoint, status, description, now);
            true
        })
    }

    /// Adds a fault. Earlier rules go first.
    pub fn inject(&self, rule: FaultRule) {
        lock(&self.inner.faults).inject(rule);
    }

    /// Removes all faults of the control plane.
    pub fn clear_faults(&self) {
        lock(&self.inner.faults).clear();
    }

    /// All faults of the control plane with what they have met.
    pub fn faults(&self) -> Vec<FaultReport> {
        lock(&self.inner.faults).report()
    }

    /// Puts a caller into the logs that Log Analytics shows.
    pub fn add_caller(&self, caller: Caller) {
        let last = self
            .inner
            .clock
            .timestamp()
            .checked_sub(Duration::from_secs(caller.seconds_ago));
        let last = last.unwrap_or(jiff::Timestamp::MIN);
        lock(&self.inner.control).callers.push(Logged { caller, last });
    }

    /// What a registry's clients need: see [`required_paths`].
    pub fn required_paths(&self, registry_id: &str, networks: &[String]) -> Vec<RequiredPath> {
        self.with_world(|world| required_paths(world, registry_id, networks))
    }

    /// Object id and audience of an access token that was given out here and has not expired.
    pub fn token_holder(&self, token: &str) -> Option<(String, String)> {
        let control = lock(&self.inner.control);
        let (principal, audience) = tokens::check(&control, token, &self.inner.clock).ok()?;
        Some((principal.object_id.clone(), audience))
    }

    /// Entra tenant.
    pub fn tenant(&self) -> String {
        lock(&self.inner.control).tenant.clone()
    }

    /// Ids of running operations and the resources that they work on.
    pub fn running_operations(&self) -> BTreeMap<String, String> {
        let mut control = lock(&self.inner.control);
        let mut world = lock(&self.inner.world);
        self.settle(&mut control, &mut world);
        control
            .operations
            .running()
            .map(|o| (o.id.clone(), o.resource.clone()))
            .collect()
    }

    /// Answers a request to ARM, the token endpoint, discovery or `/_sim`. Faults may make it wait, for ever even; where the
    /// connection is to end without an answer the response carries [`ConnectionDropped`].
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let received = Received::new(request);
        if received.path == "/_sim" || received.path.starts_with("/_sim/") {
            return into_response(&control_api::serve(self, &received));
        }
        let struck =
            lock(&self.inner.faults).strike(received.method.as_str(), &received.path_and_query, &received.body);
        match struck {
            None => self.respond(&received, None, None),
            Some(struck) => self.handle_struck(&received, struck).await,
        }
    }

    async fn handle_struck(&self, received: &Received, struck: Struck) -> Response<Bytes> {
        let name = Some(struck.name.as_str());
        match struck.effect {
            FaultEffect::Status {
                status,
                code,
                message,
                body,
                retry_after,
            } => {
                let said = json!({ "error": {
                    "code": code.unwrap_or_else(|| "InjectedFault".into()),
                    "message": message.unwrap_or_else(|| "An injected fault.".into()),
                } });
                let mut answer = JsonResponse::new(status, body.unwrap_or(said));
                if let Some(seconds) = retry_after {
                    answer = answer.with("retry-after", seconds.to_string());
                }
                self.finish(received, answer, name)
            }
            FaultEffect::Html { status } => {
                let mut response = self.finish(received, JsonResponse::empty(status), name);
                *response.body_mut() = Bytes::from_static(
                    b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
                );
                insert(response.headers_mut(), "content-type", "text/html");
                response
            }
            FaultEffect::OkWithError { code, message } => {
                let answer = JsonResponse::new(200, json!({ "error": {"code": code, "message": message} }));
                self.finish(received, answer, name)
            }
            FaultEffect::TruncatedJson {} => {
                let mut response = self.respond(received, None, name);
                let half = response.body().len() / 2;
                let cut = response.body().slice(..half);
                *response.body_mut() = cut;
                response
            }
            FaultEffect::Unchanged {} => self.respond(&received.as_read(), None, name),
            FaultEffect::DropBeforeEffect {} => self.dropped(received, name),
            FaultEffect::DropAfterEffect {} => {
                let mut response = self.respond(received, None, name);
                response.extensions_mut().insert(ConnectionDropped);
                response
            }
            FaultEffect::Delay { seconds } => {
                tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)).await;
                self.respond(received, None, name)
            }
            FaultEffect::TimeoutBeforeEffect {} => {
                self.dropped(received, name);
                std::future::pending().await
            }
            FaultEffect::TimeoutAfterEffect {} => {
                self.respond(received, None, name);
                std::future::pending().await
            }
            FaultEffect::FailOperation { code, message, nested } => {
                let mut error = json!({ "code": code, "message": message });
                if let Some(nested) = nested {
                    error["details"] = json!([{ "code": nested, "message": message }]);
                }
                self.respond(received, Some(error), name)
            }
            FaultEffect::ChangeFirst { id, patch } => {
                let id = id.unwrap_or_else(|| received.path.clone());
                self.change_by_hand(&id, |body| crate::json::merge(body, &patch));
                self.respond(received, None, name)
            }
        }
    }

    /// The request is answered by the simulated services, and written down together with what it changed.
    fn respond(&self, received: &Received, operation_fault: Option<Value>, fault: Option<&str>) -> Response<Bytes> {
        let mut control = lock(&self.inner.control);
        let mut world = lock(&self.inner.world);
        self.settle(&mut control, &mut world);
        let (service, (answer, principal)) = self.answer(&mut control, &mut world, received, operation_fault);
        // What took no time has ended already: the next reader finds it done, and so does the journal.
        let unwritten: Vec<String> = world.unwritten.iter().map(|(_, change)| change.id.clone()).collect();
        let entry = self.entry(&mut control, received, service, &answer, principal, fault);
        let correlation = entry.correlation_id.clone();
        self.inner.journal.record(Entry::Request(RequestEntry {
            changed: unwritten,
            ..entry
        }));
        self.write_changes(&mut world);
        self.settle(&mut control, &mut world);
        drop((world, control));
        self.dress(received, &answer, &correlation)
    }

    /// An answer that no simulated service gave.
    fn finish(&self, received: &Received, answer: JsonResponse, fault: Option<&str>) -> Response<Bytes> {
        let entry = self.entry(
            &mut lock(&self.inner.control),
            received,
            received.service(),
            &answer,
            None,
            fault,
        );
        let correlation = entry.correlation_id.clone();
        self.inner.journal.record(Entry::Request(entry));
        self.dress(received, &answer, &correlation)
    }

    /// No answer.
    fn dropped(&self, received: &Received, fault: Option<&str>) -> Response<Bytes> {
        let mut response = self.finish(received, JsonResponse::empty(0), fault);
        response.extensions_mut().insert(ConnectionDropped);
        response
    }

    fn answer(
        &self,
        control: &mut Control,
        world: &mut World,
        received: &Received,
        operation_fault: Option<Value>,
    ) -> (Service, (JsonResponse, Option<String>)) {
        let clock = &self.inner.clock;
        let service = received.service();
        let answered = match service {
            Service::Token => match received.path.strip_suffix("/oauth2/v2.0/token") {
                Some(tenant) => tokens::serve(control, tenant.trim_start_matches('/'), &received.body, clock),
                None => {
                    let tenant = received.path.split('/').nth(1).unwrap_or("").to_owned();
                    (tokens::openid_configuration(&tenant, &received.base), None)
                }
            },
            Service::Discovery => {
                let name = discovery::registry_in(&received.path).unwrap_or("");
                discovery::serve(world, control, clock, &received.headers, name)
            }
            Service::LogAnalytics => {
                let customer = log_analytics::customer_in(&received.path).unwrap_or("");
                let records = self.inner.journal.snapshot();
                let asked = (&received.headers, customer, &*received.body);
                log_analytics::serve(world, control, clock, &records, asked)
            }
            Service::Arm => {
                let request = arm::ArmRequest {
                    method: &received.method,
                    path: &received.path,
                    query: &received.query,
                    headers: &received.headers,
                    body: &received.body,
                    base: &received.base,
                    operation_fault,
                };
                arm::serve(world, control, clock, request)
            }
        };
        (service, answered)
    }

    fn entry(
        &self,
        control: &mut Control,
        received: &Received,
        service: Service,
        answer: &JsonResponse,
        principal: Option<String>,
        fault: Option<&str>,
    ) -> RequestEntry {
        control.requests += 1;
        let made = guid(&["correlation", &control.requests.to_string()]);
        let write = service == Service::Arm && !matches!(received.method.as_str(), "GET" | "HEAD");
        let code = answer
            .body
            .as_ref()
            .and_then(|b| b.pointer("/error/code").or(b.get("error")));
        RequestEntry {
            service,
            method: received.method.to_string(),
            path: received.path_and_query.clone(),
            principal,
            status: answer.status,
            error_code: code.and_then(Value::as_str).map(str::to_owned),
            correlation_id: received
                .header("x-ms-correlation-request-id")
                .map_or(made, str::to_owned),
            write,
            body: if write {
                serde_json::from_slice(&received.body).ok()
            } else {
                None
            },
            changed: Vec::new(),
            operation: answer.operation.clone(),
            fault: fault.map(str::to_owned),
        }
    }

    /// The answer as HTTP, with the headers that every Azure answer has.
    fn dress(&self, received: &Received, answer: &JsonResponse, correlation: &str) -> Response<Bytes> {
        let mut response = into_response(answer);
        let headers = response.headers_mut();
        let request_id = guid(&["request", correlation]);
        insert(headers, "x-ms-request-id", &request_id);
        insert(headers, "x-ms-correlation-request-id", correlation);
        insert(headers, "x-ms-routing-request-id", &format!("WESTEUROPE:{request_id}"));
        insert(
            headers,
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        );
        let date = self
            .inner
            .clock
            .timestamp()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        insert(headers, "date", &date);
        if let Some(id) = received.header("x-ms-client-request-id") {
            insert(headers, "x-ms-client-request-id", id);
        }
        response
    }
}
