//! Stands behind the operator's wire to Azure and judges each write at the moment it is sent, by the simulator's world, by
//! what the agents really tried, and by what people declared: never by what the operator says of itself.
//!
//! | write | allowed when |
//! | --- | --- |
//! | any | the object is there and carries the finalizer; the resource is nobody else's |
//! | closes an open target | declared, no break-glass, names settled, and every path of all client networks passed enough times within `maxAge`; the snapshot tells of every target; approved, where that is waited for |
//! | changes names | approved, where that is waited for |
//! | opens a closed target | spec says so, or a break-glass is in force, or `Reopen` was chosen and a path was really lost within the grace period |
//! | deletes an endpoint or its zone group | everything is open |
//! | deletes a zone, link or record | never |
//!
//! What people wish counts when a write is sent: nobody can call back what is on its way, and the next visit undoes it. Everything else
//! counts when it arrives, at once unless it is held up on its way.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use azure_sim::Simulator;
use azure_sim::journal::{ChangeKind, Entry};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sreg_api::names::FINALIZER;
use sreg_runtime::Clock;

use super::strangers::Strangers;
use crate::agents::{Log, Tried};
use crate::api_server::ApiServer;
use crate::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, PLACES, REGISTRY, Testbed};

/// What a pass may take between its judgement and its write, and what whole seconds lose.
const SLACK: Duration = Duration::from_secs(2);

pub struct Witness {
    sim: Simulator,
    api: ApiServer,
    clock: Clock,
    log: Log,
    strangers: Strangers,
    seen: Mutex<Seen>,
}

/// What people wish.
#[derive(Debug, Clone)]
pub struct Wishes {
    opening: bool,
    /// Else what speaks against it.
    closing: Result<(), String>,
}

#[derive(Default)]
struct Seen {
    violations: Vec<String>,
    closings: Vec<Duration>,
    openings: usize,
}

impl Witness {
    /// To be called before the operator begins: whatever is there then and is not the registry's is somebody else's.
    pub fn new(testbed: &Testbed) -> Witness {
        Witness {
            sim: testbed.sim.clone(),
            api: testbed.api.clone(),
            clock: testbed.clock,
            log: testbed.agents.log.clone(),
            strangers: Strangers::of(&testbed.sim),
            seen: Mutex::default(),
        }
    }

    /// What it objected to, and what others have lost until now.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.seen.lock().unwrap().violations.clone();
        violations.extend(self.strangers.harmed(&self.sim, &self.shared()));
        violations
    }

    /// How many closing and opening writes were judged.
    pub fn judged(&self) -> (usize, usize) {
        let seen = self.seen.lock().unwrap();
        (seen.closings.len(), seen.openings)
    }

    /// A write is sent: was it the operator's to send? Answers what people wish now: nobody can call back what is on its way, so
    /// that one which arrives late is the next visit's to undo.
    pub fn sees_sent(&self, method: &str, path: &str) -> Wishes {
        let verdicts = [
            self.judge_finalizer(),
            self.strangers.judge_write(&self.sim, path, &self.shared()),
            self.judge_name_change(path),
        ];
        for verdict in verdicts {
            self.note(method, path, verdict);
        }
        self.wishes()
    }

    /// What people wish now.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            opening: self.judge_opening(self.sim.now()).is_ok(),
            closing: self.judge_wish_to_close(),
        }
    }

    /// And arrives, at once unless it is held up on its way: is it safe now?
    pub fn sees(&self, method: &str, path: &str, body: &[u8], wished: Wishes) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let verdict = match method {
            "DELETE" => self.judge_deletion(path),
            _ => self.judge_access(path, &body, wished),
        };
        self.note(method, path, verdict);
    }

    fn note(&self, method: &str, path: &str, verdict: Result<(), String>) {
        if let Err(why) = verdict {
            let line = format!("at {}s {method} {path}: {why}", self.sim.now().as_secs());
            self.seen.lock().unwrap().violations.push(line);
        }
    }

    /// Nothing is left behind by an object that goes: what it wrote, it had first promised to clear away.
    fn judge_finalizer(&self) -> Result<(), String> {
        let object = self.object().ok_or("written for an object that is not there")?;
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        match finalizers.into_iter().any(|finalizer| finalizer == FINALIZER) {
            true => Ok(()),
            false => Err("written before the finalizer was".into()),
        }
    }

    fn judge_name_change(&self, path: &str) -> Result<(), String> {
        let path = path.to_lowercase();
        let changes = path.contains("/privateendpoints/") || path.contains("/virtualnetworklinks/");
        let waits = self
            .object()
            .is_some_and(|object| waits_for_approval(&object["spec"]["nameChanges"]["waitFor"]));
        match changes && waits && !self.is_approved("NameChanges") {
            true => Err("changes names, and nobody approved".into()),
            false => Ok(()),
        }
    }

    /// That the digest is the right one is the operator's to judge; that somebody approved can be seen from here.
    fn is_approved(&self, change: &str) -> bool {
        self.api.all("changeapprovals").iter().any(|approval| {
            let spec = &approval["spec"];
            spec["secureRegistryName"] == NAME && spec["change"] == change && spec["digest"].is_string()
        })
    }

    /// What is told there can be restored: each target has to be, before anything closes.
    fn judge_snapshot(&self) -> Result<(), String> {
        let maps = self.api.all("configmaps");
        let ours = maps
            .iter()
            .filter(|map| map["metadata"]["namespace"] == OPERATOR_NAMESPACE);
        let told: Vec<String> = ours
            .filter_map(|map| serde_json::from_str::<Value>(map["data"]["snapshot.json"].as_str()?).ok())
            .filter_map(|snapshot| Some(snapshot["targets"].as_object()?.keys().cloned().collect::<Vec<_>>()))
            .flatten()
            .collect();
        let untold = |id: &String| !told.iter().any(|known| known.eq_ignore_ascii_case(id));
        match self.exposure().into_iter().map(|(id, _)| id).find(untold) {
            Some(id) => Err(format!("closed, and no snapshot tells how {id} was")),
            None => Ok(()),
        }
    }

    /// Storage that the registry is let into.
    fn shared(&self) -> Vec<String> {
        let spec = self.object().unwrap_or_default()["spec"].clone();
        let shared = spec["sharing"]["workspaceStorageAccountResourceIds"]
            .as_array()
            .into_iter()
            .flatten();
        shared.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    }

    fn judge_access(&self, path: &str, body: &Value, wished: Wishes) -> Result<(), String> {
        let now = self.sim.now();
        let exposure = self.exposure();
        let Some((_, open)) = exposure.iter().find(|(id, _)| id.eq_ignore_ascii_case(path)) else {
            return Ok(());
        };
        let now_there = self.sim.with_world(|world| world.get(path).map(|it| it.body.clone()));
        let now_there = now_there.unwrap_or_default();
        let says = |body: &Value, pointer: &str, value: &str| body.pointer(pointer).is_some_and(|said| said == value);
        let action = |body: &Value, value: &str| {
            says(body, "/properties/networkAcls/defaultAction", value)
                || says(body, "/properties/networkRuleSet/defaultAction", value)
        };
        let (disables, denies) = (
            says(body, "/properties/publicNetworkAccess", "Disabled"),
            action(body, "Deny"),
        );
        let enables = says(body, "/properties/publicNetworkAccess", "Enabled") || action(body, "Allow");
        // Under `Deny` whoever a rule lets in is let in: more rules open, fewer close.
        let fewer = !action(&now_there, "Deny") || !let_in_by(&now_there).is_subset(&let_in_by(body));
        let closes = disables || (denies && fewer);
        let opens = !disables && (!let_in_by(body).is_empty() || (enables && !denies));
        if *open && closes {
            let verdict = self.judge_closing(now, wished.closing);
            self.seen.lock().unwrap().closings.push(now);
            return verdict;
        }
        if !*open && opens {
            self.seen.lock().unwrap().openings += 1;
            return match wished.opening {
                true => Ok(()),
                false => self.judge_opening(now),
            };
        }
        Ok(())
    }

    /// Whether people let it be closed.
    fn judge_wish_to_close(&self) -> Result<(), String> {
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
        Ok(())
    }

    fn judge_closing(&self, now: Duration, wished: Result<(), String>) -> Result<(), String> {
        wished?;
        let object = self.object().ok_or("closed for an object that is not there")?;
        let spec = &object["spec"];
        let settle = length(&spec["verification"]["dnsSettle"]);
        if let Some(changed) = self.last_name_change()
            && changed + settle > now + SLACK
        {
            return Err(format!("closed {:?} after a name change", now.saturating_sub(changed)));
        }
        if waits_for_approval(&spec["publicAccess"]["lockdown"]["waitFor"]) && !self.is_approved("Lockdown") {
            return Err("closed, and nobody approved".into());
        }
        self.judge_proof(spec, now)?;
        self.judge_snapshot()
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

/// Whom the rules of a storage account or container registry let in.
fn let_in_by(body: &Value) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for firewall in ["networkAcls", "networkRuleSet"] {
        for kind in ["ipRules", "virtualNetworkRules"] {
            let rules = body["properties"][firewall][kind].as_array().into_iter().flatten();
            all.extend(rules.filter_map(|rule| rule["value"].as_str().or(rule["id"].as_str())));
        }
    }
    all
}

fn waits_for_approval(gates: &Value) -> bool {
    gates
        .as_array()
        .is_some_and(|gates| gates.iter().any(|gate| gate == "Approval"))
}

fn length(text: &Value) -> Duration {
    let parsed: SignedDuration = text.as_str().unwrap().parse().unwrap();
    parsed.unsigned_abs()
}
