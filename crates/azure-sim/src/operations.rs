//! Long-running operations on the simulated clock. An operation holds what it will do to the world; it is carried out when
//! anything looks at the world after its end, in order of ends, as of the time of its end. No task runs in the background.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::world::{Key, World};

/// What an operation does at its end: changes the world, or fails with an `error` object (a `code` at least).
pub(crate) type Effect = Box<dyn FnOnce(&mut World, Duration) -> Result<(), Value> + Send>;

/// Operations that ended this long ago are forgotten, as in Azure after about a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What the `Location` URL answers once an operation succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Last {
    /// 200 with this resource; 204 when it is gone.
    Resource(String),
    /// 204.
    NoContent,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OperationStatus {
    /// Not yet at its end.
    Running,
    /// Done.
    Succeeded,
    /// Ended with this `error` object.
    Failed(Value),
}

/// One operation.
pub(crate) struct Operation {
    pub(crate) id: String,
    /// Resource it works on.
    pub(crate) resource: String,
    pub(crate) started: Duration,
    pub(crate) ends: Duration,
    pub(crate) standing: OperationStatus,
    pub(crate) last: Last,
    /// Object id of the principal that started it; empty where the service itself did.
    pub(crate) started_by: String,
    /// What it keeps busy: keys of a VNet, a subnet, a storage account.
    pub(crate) busy: Vec<Key>,
    effect: Option<Effect>,
}

impl Operation {
    /// The body of the status URL (azure.md §6.1).
    pub(crate) fn status_body(&self, clock: &Clock, now: Duration) -> Value {
        let total = self.ends.saturating_sub(self.started).as_secs_f64();
        let done = now.saturating_sub(self.started).as_secs_f64();
        let percent = if total > 0.0 {
            (done / total * 100.0).clamp(0.0, 99.0).floor()
        } else {
            99.0
        };
        let mut body = json!({ "name": self.id, "startTime": clock.at(self.started).to_string() });
        let (status, error) = match &self.standing {
            OperationStatus::Running => ("InProgress", None),
            OperationStatus::Succeeded => ("Succeeded", None),
            OperationStatus::Failed(error) => ("Failed", Some(error.clone())),
        };
        body["status"] = json!(status);
        match self.standing {
            OperationStatus::Running => body["percentComplete"] = json!(percent),
            OperationStatus::Succeeded | OperationStatus::Failed(_) => {
                body["percentComplete"] = json!(100.0);
                body["endTime"] = json!(clock.at(self.ends).to_string());
            }
        }
        if let Some(error) = error {
            body["error"] = error;
        }
        body
    }
}

/// What a new operation needs to be told.
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) resource: String,
    pub(crate) length: Duration,
    pub(crate) last: Last,
    pub(crate) started_by: String,
    pub(crate) busy: Vec<Key>,
    pub(crate) effect: Effect,
}

/// All operations, running and remembered.
#[derive(Default)]
pub(crate) struct Operations {
    all: BTreeMap<String, Operation>,
    /// Running ones by end and order of start.
    due: BTreeMap<(Duration, u64), String>,
    /// Ended ones in order of their end.
    ended: std::collections::VecDeque<(Duration, String)>,
    started: u64,
}

impl Operations {
    /// Starts an operation now.
    pub(crate) fn start(&mut self, plan: Plan, now: Duration) {
        self.started += 1;
        let ends = now.saturating_add(plan.length);
        self.due.insert((ends, self.started), plan.id.clone());
        let operation = Operation {
            id: plan.id.clone(),
            resource: plan.resource,
            started: now,
            ends,
            standing: OperationStatus::Running,
            last: plan.last,
            started_by: plan.started_by,
            busy: plan.busy,
            effect: Some(plan.effect),
        };
        self.all.insert(plan.id, operation);
    }

    /// How many were ever started: what makes the next id.
    pub(crate) fn count(&self) -> u64 {
        self.started
    }

    /// The operation with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Operation> {
        self.all.get(id)
    }

    /// Running operations, soonest end first.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Operation> {
        self.due.values().filter_map(|id| self.all.get(id))
    }

    /// Carries out all operations that have come to their end.
    pub(crate) fn settle(&mut self, world: &mut World, now: Duration) {
        while let Some(entry) = self.due.first_entry() {
            let (ends, _) = *entry.key();
            if ends > now {
                break;
            }
            let id = entry.remove();
            let Some(operation) = self.all.get_mut(&id) else {
                continue;
            };
            let result = operation.effect.take().map_or(Ok(()), |effect| effect(world, ends));
            operation.standing = match result {
                Ok(()) => OperationStatus::Succeeded,
                Err(error) => OperationStatus::Failed(error),
            };
            self.ended.push_back((ends, id));
        }
        while self
            .ended
            .front()
            .is_some_and(|(ended, _)| ended.saturating_add(REMEMBERED) < now)
        {
            if let Some((_, id)) = self.ended.pop_front() {
                self.all.remove(&id);
            }
        }
    }
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operations")
            .field("running", &self.due.len())
            .field("remembered", &self.all.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: &str, seconds: u64) -> Plan {
        let resource = format!("/subscriptions/s/resourceGroups/{id}");
        let written = resource.clone();
        Plan {
            id: id.into(),
            resource,
            length: Duration::from_secs(seconds),
            last: Last::NoContent,
            started_by: String::new(),
            busy: vec![],
            effect: Box::new(move |world, at| {
                world.put(&written, json!({ "seen": world.resources.len() }), at);
                Ok(())
            }),
        }
    }

    #[test]
    fn operations_are_carried_out_in_order_of_their_ends_as_of_their_ends() {
        let (mut operations, mut world) = (Operations::default(), World::default());
        operations.start(plan("late", 20), Duration::ZERO);
        operations.start(plan("early", 10), Duration::ZERO);
        operations.settle(&mut world, Duration::from_secs(9));
        assert!(world.resources.is_empty());
        operations.settle(&mut world, Duration::from_secs(60));
        let early = world.get("/subscriptions/s/resourceGroups/early").unwrap();
        assert_eq!(
            (early.body["seen"].as_u64(), early.changed_at),
            (Some(0), Duration::from_secs(10))
        );
        assert_eq!(operations.get("late").unwrap().standing, OperationStatus::Succeeded);
    }

    #[test]
    fn operations_are_forgotten_after_a_day() {
        let (mut operations, mut world) = (Operations::default(), World::default());
        operations.start(plan("a", 1), Duration::ZERO);
        operations.settle(&mut world, Duration::from_secs(2));
        assert!(operations.get("a").is_some());
        operations.settle(&mut world, Duration::from_secs(25 * 3600));
        assert!(operations.get("a").is_none());
    }
}
