//! The campaign's workloads: what people declare and do, as short stories. A story goes on only by what can be seen in the
//! world, so that it ends the same way whatever happens to the operator meanwhile.

mod agents;
mod kept;
mod undone;

use std::sync::Mutex;
use std::time::Duration;

use azure_sim::{Latencies, Seed};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::azures::{
    behind_rules, deny, groups_of_any_alphabet, in_two_regions, lift_denial, storage, undo_writes, without_registry,
};
use super::gate::Gate;
use crate::clients::keep_zones;
use agents::agent_silent;
use kept::{deletion_under_a_lock, rules_refused};
use undone::{closing_undone, opening_undone, tags_wiped};

use crate::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Testbed, bad_window};

const MINUTE: Duration = Duration::from_secs(60);
const NETWORKS: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks";

/// One workload.
pub struct Story {
    pub name: &'static str,
    pub beginning: Beginning,
    /// The Azure that it begins in, other than the demo's.
    seed: fn(&mut Seed),
    /// What is declared other than in the example.
    spec: fn(&mut Value),
    /// What somebody did in Azure before.
    prepare: fn(&Testbed),
    play: for<'a> fn(&'a Stage<'a>) -> BoxFuture<'a, Result<(), String>>,
}

/// Whether a story's way to the first lock, up to what people do first, is told by another one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Another story with the same spec in the same Azure is told from its beginning.
    Shared,
    /// Spec or Azure differ from those of `lockdown`, and lead to much the same writes.
    OtherWishes,
    /// It is `lockdown` itself, or Azure gets in its way from the start.
    Own,
}

/// Where a story takes place.
pub struct Stage<'a> {
    pub testbed: &'a Testbed,
    pub gate: &'a Gate,
}

impl Story {
    /// The world at the beginning. Everything is quick, so that little simulated time passes.
    pub fn set_up(&self) -> Testbed {
        let testbed = Testbed::with(|seed| {
            seed.latencies = Latencies::Scaled(0.05);
            (self.seed)(seed);
        });
        (self.prepare)(&testbed);
        testbed.apply(|object| {
            object["spec"]["verification"] =
                json!({"consecutiveSuccesses": 3, "interval": "10s", "maxAge": "2m", "dnsSettle": "75s"});
            object["spec"]["drift"] = json!({"interval": "2m"});
            (self.spec)(object);
        });
        testbed
    }

    pub async fn tell(&self, stage: &Stage<'_>) -> Result<(), String> {
        (self.play)(stage).await
    }
}

impl Stage<'_> {
    /// Somebody does something.
    fn act(&self, name: &str) -> &Testbed {
        self.gate.act(name);
        self.testbed
    }

    /// It must come to this.
    async fn until(&self, what: &str, within: Duration, condition: impl Fn(&Testbed) -> bool) -> Result<(), String> {
        match self.hopefully(within, condition).await {
            true => Ok(()),
            false => Err(format!(
                "not {what} within {within:?}; open: {:?}; state {}; waits {}; findings {}; rollback {}; says {}",
                self.testbed.open_targets(),
                self.testbed.state(),
                self.testbed.status()["waitingFor"],
                self.testbed.status()["findings"],
                self.testbed.status()["rollback"],
                self.testbed.status()["conditions"][0]["message"],
            )),
        }
    }

    /// It may come to this; people do not wait longer.
    async fn hopefully(&self, within: Duration, condition: impl Fn(&Testbed) -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        while !condition(self.testbed) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        true
    }

    async fn locked(&self) -> Result<(), String> {
        // Longer than the longest pause between two tries of a write, which is an hour (decision 0016).
        self.until("locked", 70 * MINUTE, |testbed| {
            testbed.open_targets().is_empty() && testbed.state() == "Locked"
        })
        .await
    }

    async fn delete(&self) -> Result<(), String> {
        self.act("delete the object")
            .api
            .remove("secureregistries", NAMESPACE, NAME);
        self.until("gone", 30 * MINUTE, |testbed| testbed.object().is_none())
            .await
    }

    fn declare(&self, what: &str, change: impl FnOnce(&mut Value)) {
        let testbed = self.act(what);
        testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
            change(&mut object["spec"]);
            object["metadata"]["generation"] = (object["metadata"]["generation"].as_i64().unwrap() + 1).into();
        });
    }
}

/// All of them.
pub fn all() -> Vec<Story> {
    let plain = Story {
        name: "lockdown",
        beginning: Beginning::Own,
        seed: |_| {},
        spec: |_| {},
        prepare: |_| {},
        play: |stage| stage.locked().boxed(),
    };
    let begins = |beginning, name, spec, play| Story {
        name,
        beginning,
        seed: |_| {},
        spec,
        prepare: |_| {},
        play,
    };
    let like_another = |name, spec, play| begins(Beginning::Shared, name, spec, play);
    let story = |name, spec, play| begins(Beginning::OtherWishes, name, spec, play);
    vec![
        plain,
        like_another("break-glass", |_| {}, |stage| break_glass(stage).boxed()),
        story("rollback", reopening, |stage| rollback(stage).boxed()),
        story("deletion-while-locked", deleting_endpoints, |stage| {
            delete_locked(stage).boxed()
        }),
        like_another("deletion-once-open", deleting_endpoints, |stage| {
            delete_open(stage).boxed()
        }),
        like_another("deletion-under-a-lock", deleting_endpoints, |stage| {
            deletion_under_a_lock(stage).boxed()
        }),
        like_another("deletion-under-retain", |_| {}, |stage| delete_locked(stage).boxed()),
        story("network-added", without_spoke, |stage| add_network(stage).boxed()),
        story("endpoint-dropped", with_second_endpoint, |stage| {
            drop_endpoint(stage).boxed()
        }),
        like_another("drift", |_| {}, |stage| drift(stage).boxed()),
        Story {
            name: "deny-assignment",
            beginning: Beginning::Own,
            seed: |_| {},
            spec: |_| {},
            prepare: deny,
            play: |stage| denied(stage).boxed(),
        },
        story("approval", waiting_for_approval, |stage| {
            approval(stage, "Lockdown").boxed()
        }),
        story("names-approved", names_waiting_for_approval, |stage| {
            approval(stage, "NameChanges").boxed()
        }),
        like_another("link-deleted", waiting_for_approval, |stage| {
            link_deleted(stage).boxed()
        }),
        Story {
            name: "break-glass-half-way",
            beginning: Beginning::Shared,
            seed: |_| {},
            spec: |_| {},
            prepare: deny,
            play: |stage| break_glass_half_way(stage).boxed(),
        },
        Story {
            name: "closing-undone",
            beginning: Beginning::Own,
            seed: |_| {},
            spec: |_| {},
            prepare: undo_writes,
            play: |stage| closing_undone(stage).boxed(),
        },
        Story {
            name: "rules-refused",
            beginning: Beginning::OtherWishes,
            seed: |_| {},
            spec: |_| {},
            prepare: behind_rules,
            play: |stage| rules_refused(stage).boxed(),
        },
        like_another("opening-undone", |_| {}, |stage| opening_undone(stage).boxed()),
        like_another("tags-wiped", |_| {}, |stage| tags_wiped(stage).boxed()),
        like_another("agent-silent", |_| {}, |stage| agent_silent(stage).boxed()),
        like_another("broken-spec", |_| {}, |stage| broken_spec(stage).boxed()),
        story("external-dns", with_external_dns, |stage| external_dns(stage).boxed()),
        Story {
            name: "created",
            beginning: Beginning::OtherWishes,
            seed: without_registry,
            spec: creating,
            prepare: |_| {},
            play: |stage| created(stage).boxed(),
        },
        Story {
            name: "two-regions",
            beginning: Beginning::OtherWishes,
            seed: in_two_regions,
            spec: granting,
            prepare: |_| {},
            play: |stage| stage.locked().boxed(),
        },
    ]
}

async fn break_glass(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    break_it(stage).await?;
    stage.locked().await
}

/// Ends when everything is open.
async fn break_it(stage: &Stage<'_>) -> Result<(), String> {
    stage.act("break the glass").break_the_glass("5m");
    stage
        .until("open", 5 * MINUTE, |testbed| testbed.open_targets().len() == 3)
        .await
}

/// Whoever is on call cannot repair the spec, and does not have to.
async fn broken_spec(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.declare("break a rule", |spec| {
        spec["publicAccess"] = json!({"desired": "Disabled", "lockdown": bad_window()});
    });
    stage
        .until("told so", 30 * MINUTE, |testbed| {
            testbed.status()["waitingFor"]
                .to_string()
                .contains("InvalidSpecStalled")
        })
        .await?;
    break_it(stage).await?;
    stage
        .until("over", 30 * MINUTE, |testbed| testbed.glass()["phase"] == "Expired")
        .await?;
    stage.declare("repair it", |spec| {
        spec["publicAccess"] = json!({"desired": "Disabled"})
    });
    stage.locked().await
}

fn reopening(object: &mut Value) {
    object["spec"]["publicAccess"] =
        json!({"desired": "Disabled", "rollback": {"onFailure": "Reopen", "gracePeriod": "4m"}});
}

/// The spoke loses its line to the hub for a while. Where the loss is noticed too late the lock rightly holds.
async fn rollback(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    stage.act("cut the spoke off").agents.cut_off("spoke-a", true);
    stage
        .hopefully(5 * MINUTE, |testbed| testbed.open_targets().len() == 3)
        .await;
    stage.act("mend it").agents.cut_off("spoke-a", false);
    stage.locked().await?;
    stage
        .until("forgotten", 30 * MINUTE, |testbed| {
            testbed.status()["rollback"].is_null() && testbed.state() == "Locked"
        })
        .await
}

fn deleting_endpoints(object: &mut Value) {
    object["spec"]["deletionPolicy"] = "DeleteEndpoints".into();
}

async fn delete_locked(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    stage.delete().await
}

async fn delete_open(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    open_by_spec(stage).await?;
    stage.delete().await
}

/// Ends when people can see that it is so: while Azure's answers lag, a deletion sees closed targets and rightly leaves their
/// endpoints.
async fn open_by_spec(stage: &Stage<'_>) -> Result<(), String> {
    stage.declare("allow public access", |spec| {
        spec["publicAccess"] = json!({"desired": "Enabled"})
    });
    stage
        .until("open", 30 * MINUTE, |testbed| {
            testbed.open_targets().len() == 3 && testbed.status()["publicAccess"]["summary"] == "Open"
        })
        .await
}

fn without_spoke(object: &mut Value) {
    let spec = &mut object["spec"];
    spec["clientNetworks"].as_array_mut().unwrap().remove(1);
    spec["endpoints"][0]["dns"]["linkVirtualNetworks"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
}

async fn add_network(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    let spoke = format!("{NETWORKS}/spoke-a");
    stage.declare("add the spoke", |spec| {
        let link = &mut spec["endpoints"][0]["dns"]["linkVirtualNetworks"];
        link.as_array_mut().unwrap().push(spoke.clone().into());
        let network = json!({"name": "spoke-a", "virtualNetworkResourceId": spoke, "vantagePoint": "spoke-a-agent"});
        spec["clientNetworks"].as_array_mut().unwrap().push(network);
    });
    stage
        .until("all proven", 30 * MINUTE, |testbed| {
            let status = testbed.status();
            let verified = status["pathsVerified"].as_str().unwrap_or_default().to_owned();
            let complete = verified.split_once('/').is_some_and(|(proven, all)| proven == all);
            complete && status["observedGeneration"] == generation(testbed) && testbed.state() == "Locked"
        })
        .await
}

fn generation(testbed: &Testbed) -> Value {
    testbed.object().unwrap_or_default()["metadata"]["generation"].clone()
}

/// The spoke has endpoints and zones of its own at first.
fn with_second_endpoint(object: &mut Value) {
    let spec = &mut object["spec"];
    let spoke = format!("{NETWORKS}/spoke-a");
    spec["endpoints"][0]["dns"]["linkVirtualNetworks"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    for (client, endpoint) in ["hub", "spoke", "hub"].into_iter().enumerate() {
        spec["clientNetworks"][client]["endpoint"] = endpoint.into();
    }
    let group = NETWORKS.split("/providers/").next().unwrap();
    spec["endpoints"].as_array_mut().unwrap().push(json!({
        "name": "spoke", "subnetResourceId": format!("{spoke}/subnets/workload"),
        "dns": {"mode": "Managed", "zoneResourceGroupResourceId": group, "linkVirtualNetworks": [spoke]},
    }));
}

async fn drop_endpoint(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    stage.declare("drop the spoke", |spec| {
        spec["endpoints"].as_array_mut().unwrap().truncate(1);
        spec["clientNetworks"].as_array_mut().unwrap().remove(1);
    });
    stage
        .until("released", 30 * MINUTE, |testbed| {
            let status = testbed.status();
            let seen = status["observedGeneration"] == generation(testbed);
            seen && testbed.state() == "Locked" && status["findings"].to_string().contains("EndpointReleased")
        })
        .await
}

async fn drift(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    let targets = stage
        .testbed
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY));
    for target in &targets {
        stage.act("open one by hand").sim.change_by_hand(target, |body| {
            body["properties"]["publicNetworkAccess"] = "Enabled".into();
            for rules in ["networkAcls", "networkRuleSet"] {
                if body["properties"].get(rules).is_some() {
                    body["properties"][rules]["defaultAction"] = "Allow".into();
                }
            }
        });
        stage
            .until("closed again", 30 * MINUTE, |testbed| testbed.open_targets().is_empty())
            .await?;
        stage.locked().await?;
    }
    Ok(())
}

async fn denied(stage: &Stage<'_>) -> Result<(), String> {
    half_locked_in_spite_of_a_denial(stage).await?;
    lift_denial(stage.act("lift the denial"));
    stage.locked().await
}

fn is_half_locked(testbed: &Testbed) -> bool {
    let open = testbed.open_targets();
    open.len() == 1 && open[0].contains("/storageAccounts/") && testbed.state() == "Stalled"
}

async fn half_locked(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("closed but for the storage account", 60 * MINUTE, is_half_locked)
        .await
}

/// What could not be opened again is acknowledged by people, then everything else is closed.
async fn half_locked_in_spite_of_a_denial(stage: &Stage<'_>) -> Result<(), String> {
    approved(stage, "Lockdown", 60 * MINUTE, is_half_locked).await
}

/// The lock is stuck half-way when the emergency comes: what was closed opens again, and in the end everything is closed.
async fn break_glass_half_way(stage: &Stage<'_>) -> Result<(), String> {
    half_locked_in_spite_of_a_denial(stage).await?;
    break_it(stage).await?;
    lift_denial(stage.act("lift the denial"));
    stage.locked().await
}

fn creating(object: &mut Value) {
    let group = REGISTRY.split("/providers/").next().unwrap();
    let spec = &mut object["spec"];
    spec["registry"]["create"] = json!({"location": "westeurope"});
    spec["registry"]["managedResourceGroupAccess"] = "GrantOperator".into();
    spec["sharing"] = json!({"workspaceStorageAccountResourceIds":
        [format!("{group}/providers/Microsoft.Storage/storageAccounts/workspacedata")]});
}

/// Made closed; then opened for a while, though no snapshot says how it was before.
async fn created(stage: &Stage<'_>) -> Result<(), String> {
    let made = |testbed: &Testbed| storage(testbed).is_some();
    stage.until("made", 60 * MINUTE, made).await?;
    stage.locked().await?;
    open_by_spec(stage).await?;
    stage.declare("forbid it again", |spec| {
        spec["publicAccess"] = json!({"desired": "Disabled"})
    });
    stage
        .until("closed", 30 * MINUTE, |testbed| testbed.open_targets().is_empty())
        .await?;
    stage.locked().await
}

/// In groups of any alphabet, too.
fn granting(object: &mut Value) {
    groups_of_any_alphabet(object);
    object["spec"]["registry"]["managedResourceGroupAccess"] = "GrantOperator".into();
}

fn waiting_for_approval(object: &mut Value) {
    object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}});
}

fn names_waiting_for_approval(object: &mut Value) {
    object["spec"]["nameChanges"] = json!({"waitFor": ["Approval"]});
}

/// People approve what is asked for; were the digest to change without need, the end would show a second approval.
async fn approval(stage: &Stage<'_>, change: &str) -> Result<(), String> {
    let locked = |testbed: &Testbed| testbed.open_targets().is_empty() && testbed.state() == "Locked";
    approved(stage, change, 30 * MINUTE, locked).await
}

/// They do so until it is done.
async fn approved(
    stage: &Stage<'_>,
    change: &str,
    within: Duration,
    done: impl Fn(&Testbed) -> bool,
) -> Result<(), String> {
    let asked_for = |testbed: &Testbed| -> Value {
        let status = testbed.status();
        let wanted = status["approvalsWanted"].as_array().into_iter().flatten();
        let mut wanted = wanted.filter(|wanted| wanted["change"] == change);
        wanted.next().cloned().unwrap_or_default()["digest"].clone()
    };
    for number in 1..=3 {
        stage
            .until("asking", within, |testbed| {
                testbed.state() == "AwaitingApproval" && asked_for(testbed).is_string()
            })
            .await?;
        let digest = asked_for(stage.testbed);
        stage.act("approve").api.put(
            "changeapprovals",
            json!({
                "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
                "metadata": {"name": format!("go-{number}"), "namespace": NAMESPACE},
                "spec": {"secureRegistryName": NAME, "change": change, "digest": digest, "approvedBy": "boss"},
            }),
        );
        if stage.hopefully(10 * MINUTE, &done).await {
            return Ok(());
        }
    }
    Err("approved three times, and still not done".into())
}

/// Just before the approval somebody deletes a link, and the operator makes it again: names settle anew.
async fn link_deleted(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("asking", 30 * MINUTE, |testbed| testbed.state() == "AwaitingApproval")
        .await?;
    let links = || {
        stage.testbed.sim.with_world(|world| {
            let links = world.of_kind("microsoft.network/privatednszones/virtualnetworklinks");
            let ours = links.filter(|link| link.id.contains("/dns/"));
            ours.map(|link| link.id.clone()).collect::<Vec<_>>()
        })
    };
    let before = links();
    stage.act("delete a link").sim.delete_by_hand(&before[0]);
    stage.until("linked again", 30 * MINUTE, |_| links() == before).await?;
    approval(stage, "Lockdown").await
}

fn with_external_dns(object: &mut Value) {
    object["spec"]["endpoints"][0]["dns"] = json!({"mode": "External"});
}

/// Whoever runs DNS does what is published, once all of it is.
async fn external_dns(stage: &Stage<'_>) -> Result<(), String> {
    let published = |testbed: &Testbed| {
        let name = testbed.status()["externalDns"]["configMap"].as_str()?.to_owned();
        let map = testbed.api.get("configmaps", OPERATOR_NAMESPACE, &name)?;
        Some(map["data"]["hub.zone"].as_str()?.to_owned())
    };
    // Somebody may take the status away as soon as it was read: what was read then is done.
    let read = Mutex::new(None);
    stage
        .until("published", 30 * MINUTE, |testbed| {
            let mut read = read.lock().unwrap();
            *read = published(testbed).or_else(|| read.take());
            read.is_some()
        })
        .await?;
    let read = read.into_inner().unwrap().unwrap_or_default();
    keep_zones(stage.act("do what is published"), &read);
    stage.locked().await?;
    stage.delete().await
}
