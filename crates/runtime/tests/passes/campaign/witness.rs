//! Stands behind the operator's wire to Azure and judges each write at the moment it is sent, by the simulator's world, by
//! what the agents really tried, and by what people declared: never by what the operator says of itself.
//!
//! | write | allowed when |
//! | --- | --- |
//! | closes an open target | declared, no break-glass, names settled, and every path of all client networks passed enough times within `maxAge` |
//! | opens a closed target | spec says so, or a break-glass is in force, or `Reopen` was chosen and a path was really lost within the grace period |
//! | deletes an endpoint or its zone group | everything is open |
//! | deletes a zone, link or record | never |

use std::sync::Mutex;
use std::time::Duration;

use azure_sim::Simulator;
use azure_sim::journal::{ChangeKind, Entry};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sreg_runtime::Clock;

use crate::agents::{Log, Tried};
use crate::api_server::ApiServer;
use crate::stand::{NAME, NAMESPACE, PLACES, REGISTRY, Stand};

/// What a pass may take between its judgement and its write, and what whole seconds lose.
const SLACK: Duration = Duration::from_secs(2);

pub struct Witness {
    sim: Simulator,
    api: ApiServer,
    clock: Clock,
    log: Log,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    violations: Vec<String>,
    closings: Vec<Duration>,
    openings: usize,
}

impl Witness {
    pub fn new(stand: &Stand) -> Witness {
        Witness {
            sim: stand.sim.clone(),
            api: stand.api.clone(),
            clock: stand.clock,
            log: stand.agents.log.clone(),
            seen: Mutex::default(),
        }
    }

    pub fn violations(&self) -> Vec<String> {
        self.seen.lock().unwrap().violations.clone()
    }

    /// How many closing and opening writes were judged.
    pub fn judged(&self) -> (usize, usize) {
        let seen = self.seen.lock().unwrap();
        (seen.closings.len(), seen.openings)
    }

    /// A write is about to be sent.
    pub fn sees(&self, method: &str, path: &str, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let now = self.sim.now();
        let verdict = match method {
            "DELETE" => self.judge_deletion(path),
            _ => self.judge_access(path, &body, now),
        };
        if let Err(why) = verdict {
            let line = format!("at {}s {method} {path}: {why}", now.as_secs());
            self.seen.lock().unwrap().violations.push(line);
        }
    }

    fn judge_access(&self, path: &str, body: &Value, now: Duration) -> Result<(), String> {
        let exposure = self.exposure();
        let Some((_, open)) = exposure.iter().find(|(id, _)| id.eq_ignore_ascii_case(path)) else {
            return Ok(());
        };
        let says = |pointer: &str, value: &str| body.pointer(pointer).is_some_and(|said| said == value);
        let action = |value: &str| {
            says("/properties/networkAcls/defaultAction", value)
                || says("/properties/networkRuleSet/defaultAction", value)
        };
        let closes = says("/properties/publicNetworkAccess", "Disabled") || action("Deny");
        let opens = !closes && (says("/properties/publicNetworkAccess", "Enabled") || action("Allow"));
        if *open && closes {
            let verdict = self.judge_closing(now);
            self.seen.lock().unwrap().closings.push(now);
            return verdict;
        }
        if !*open && opens {
            self.seen.lock().unwrap().openings += 1;
            return self.judge_opening(now);
        }
        Ok(())
    }

    fn judge_closing(&self, now: Duration) -> Result<(), String> {
        let object = self.object().ok_or("closed for an object that is not there")?;
        let spec = &object["spec"];
        if spec["publicAccess"]["desired"] == "Enabled" {
            return Err("closed against the spec".into());
        }
        if object["metadata"].get("deletionTimestamp").is_some() {
            return Err("closed for an object that is being deleted".into());
        }
        if self.break_glass_in_force(Duration::ZERO) {
            return Err("closed under a break-glass".into());
        }
        let settle = length(&spec["verification"]["dnsSettle"]);
        if let Some(changed) = self.last_name_change()
            && changed + settle > now + SLACK
        {
            return Err(format!("closed {:?} after a name change", now.saturating_sub(changed)));
        }
        self.judge_proof(spec, now)
    }

    fn judge_proof(&self, spec: &Value, now: Duration) -> Result<(), String> {
        let networks = networks_of(spec);
        let max_age = length(&spec["verification"]["maxAge"]);
        let needed = usize::try_from(spec["verification"]["consecutiveSuccesses"].as_u64().unwrap()).unwrap();
        let required = self.sim.required_paths(REGISTRY, &networks);
        if networks.is_empty() || required.len() < 3 * networks.len() {
            return Err(format!("closed with paths missing: {required:?}"));
        }
        let log = self.log.lock().unwrap();
        for path in &required {
            if path.addresses.is_empty() {
                return Err(format!("closed though {path:?} cannot work"));
            }
            let of_path = |t: &&Tried| t.network == path.network && t.fqdn == path.fqdn;
            let last: Vec<&Tried> = log.iter().rev().filter(of_path).take(needed).collect();
            let fresh = |t: &&Tried| t.passed && t.at + max_age + SLACK >= now;
            if last.len() < needed || !last.iter().all(fresh) {
                return Err(format!("closed without proof of {path:?}: {last:?}"));
            }
        }
        Ok(())
    }

    fn judge_opening(&self, now: Duration) -> Result<(), String> {
        let object = self.object().ok_or("opened for an object that is not there")?;
        let access = &object["spec"]["publicAccess"];
        if access["desired"] == "Enabled" || self.break_glass_in_force(SLACK) {
            return Ok(());
        }
        if access["rollback"]["onFailure"] != "Reopen" {
            return Err("opened, and nobody asked for it".into());
        }
        // Judged by what agents tried since the last lock: somewhere enough failures in a row, in time.
        let grace = length(&access["rollback"]["gracePeriod"]);
        let locked = self.seen.lock().unwrap().closings.last().copied().unwrap_or_default();
        let log = self.log.lock().unwrap();
        let networks = networks_of(&object["spec"]);
        let lost = self.sim.required_paths(REGISTRY, &networks).into_iter().any(|path| {
            let tried = log
                .iter()
                .filter(|t| t.network == path.network && t.fqdn == path.fqdn && t.at >= locked);
            let mut row = 0;
            tried.fold(false, |lost, t| {
                row = if t.passed { 0 } else { row + 1 };
                lost || row >= 3
            })
        });
        match lost && now <= locked + grace + Duration::from_secs(60) {
            true => Ok(()),
            false => Err("rolled back though no path was lost in time".into()),
        }
    }

    fn judge_deletion(&self, path: &str) -> Result<(), String> {
        let path = path.to_lowercase();
        if path.contains("/privatednszones/") {
            return Err("zones, links and records are never deleted".into());
        }
        let closed: Vec<String> = self
            .exposure()
            .into_iter()
            .filter(|(_, open)| !*open)
            .map(|(id, _)| id)
            .collect();
        if path.contains("/privateendpoints/") && !closed.is_empty() {
            return Err(format!("deleted though {closed:?} are closed"));
        }
        Ok(())
    }

    fn exposure(&self) -> Vec<(String, bool)> {
        self.sim
            .with_world(|world| azure_sim::oracle::exposure(world, REGISTRY))
    }

    fn object(&self) -> Option<Value> {
        self.api.get("secureregistries", NAMESPACE, NAME)
    }

    fn break_glass_in_force(&self, slack: Duration) -> bool {
        self.api.all("breakglasses").iter().any(|glass| {
            let created: Timestamp = glass["metadata"]["creationTimestamp"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            let ends = created + length(&glass["spec"]["duration"]) + slack;
            self.clock.now() < ends
        })
    }

    /// When an endpoint, zone group, link or record last came or went.
    fn last_name_change(&self) -> Option<Duration> {
        let records = self.sim.records_since(0);
        let last = records.iter().rev().find(|record| match &record.entry {
            Entry::Change(change) => {
                let id = change.id.to_lowercase();
                let names = id.contains("/privateendpoints/") || id.contains("/privatednszones/");
                names && !id.contains("/sandbox/") && change.change != ChangeKind::Updated
            }
            _ => false,
        });
        last.map(|record| Duration::from_secs_f64(record.at))
    }
}

/// The simulator's networks that the spec's client networks are looked at from.
fn networks_of(spec: &Value) -> Vec<String> {
    let clients = spec["clientNetworks"].as_array().into_iter().flatten();
    let place = |client: &Value| {
        PLACES
            .iter()
            .find(|place| client["vantagePoint"] == place.vantage_point)
    };
    clients
        .filter_map(place)
        .map(|place| place.network.to_owned())
        .collect()
}

fn length(text: &Value) -> Duration {
    let parsed: SignedDuration = text.as_str().unwrap().parse().unwrap();
    parsed.unsigned_abs()
}
