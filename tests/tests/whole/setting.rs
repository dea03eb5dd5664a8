//! What the scenarios share: a started world, the example object with changes, and the judgements.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sreg_api::SecureRegistry;
use sreg_testbed::oracle::{self, Requirement};
use sreg_testbed::{NAMESPACE, OperatorOptions, Testbed, TestbedOptions, repository, worlds};
use sreg_testkit::{Process, eventually};

pub(crate) use sreg_testbed::objects::REGISTRY as NAME;

/// How long a scenario may take to settle; generous, because the machine may be busy.
pub(crate) const SETTLED: Duration = Duration::from_secs(120);

/// A testbed with agents and operator running.
pub(crate) struct Setting {
    pub(crate) operator: Option<Process>,
    /// Held for their lifetime: dropped, they end.
    agents: Vec<Process>,
    pub(crate) testbed: Testbed,
}

impl Setting {
    /// The demo's world.
    pub(crate) async fn demo() -> Result<Setting> {
        Setting::new(worlds::demo()?).await
    }

    pub(crate) async fn new(options: TestbedOptions) -> Result<Setting> {
        Setting::on(Testbed::start(options).await?).await
    }

    /// The same in another cluster that sees the same Azure. Its operator has the same installation's name.
    pub(crate) async fn beside(&self) -> Result<Setting> {
        Setting::on(self.testbed.beside().await?).await
    }

    async fn on(testbed: Testbed) -> Result<Setting> {
        testbed.grant().await?;
        let agents = testbed.start_agents(true).await?;
        let operator = Some(testbed.start_operator(OperatorOptions::default()).await?);
        Ok(Setting {
            operator,
            agents,
            testbed,
        })
    }

    /// ARM id of the registry of the example.
    pub(crate) fn registry(&self) -> Result<String> {
        let object = example(|_| ())?;
        Ok(object.spec.registry.resource_id)
    }

    /// Applies the example with changes made to its JSON.
    pub(crate) async fn apply(&self, change: impl FnOnce(&mut Value)) -> Result<SecureRegistry> {
        let object = example(change)?;
        let name = object.name_any();
        let patch = PatchParams::apply("whole-binary-tests").force();
        self.testbed
            .registries()
            .patch(&name, &patch, &Patch::Apply(&object))
            .await
            .context("apply the object")
    }

    /// Creates another object.
    pub(crate) async fn create(&self, object: &SecureRegistry) -> Result<SecureRegistry> {
        self.testbed
            .registries()
            .create(&PostParams::default(), object)
            .await
            .context("create the object")
    }

    /// Deletes the object and waits until it is gone.
    pub(crate) async fn delete(&self) -> Result<()> {
        let api = self.testbed.registries();
        api.delete(NAME, &DeleteParams::default())
            .await
            .context("delete the object")?;
        eventually(SETTLED, "the object to be gone", || async {
            match api.get_opt(NAME).await {
                Ok(None) => Ok(()),
                Ok(Some(object)) => Err(format!("{:?}", sreg_testbed::objects::ready(&object))),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    pub(crate) async fn locked(&self) -> Result<SecureRegistry> {
        self.testbed.await_state(NAME, &["Locked"], SETTLED).await
    }

    /// Waits for an event with this reason whose note says this: events follow what they tell of, a status or an end. Answers
    /// the notes of all events with this reason.
    pub(crate) async fn noted(&self, reason: &str, says: &str) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.testbed.client.clone(), NAMESPACE);
        eventually(SETTLED, format!("event {reason} that says {says:?}"), || async {
            let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
            let ours = all.items.into_iter().filter(|e| e.reason.as_deref() == Some(reason));
            let notes: Vec<String> = ours.filter_map(|e| e.note).collect();
            if notes.iter().any(|note| note.contains(says)) {
                Ok(notes)
            } else {
                Err(format!("{notes:?}"))
            }
        })
        .await
    }

    /// Every closing write was proven before, and registry, storage and ACR are closed.
    pub(crate) fn assert_locked_with_proof(&self) -> Result<()> {
        self.assert_safe()?;
        let open: Vec<String> = oracle::closed(self.testbed.simulator(), &self.registry()?)
            .into_iter()
            .filter(|(_, closed)| !closed)
            .map(|(id, _)| id)
            .collect();
        ensure!(open.is_empty(), "still open: {open:?}");
        Ok(())
    }

    /// No closing write came before its proof.
    pub(crate) fn assert_safe(&self) -> Result<()> {
        let breaches = oracle::breaches(self.testbed.simulator(), &self.requirement()?);
        ensure!(breaches.is_empty(), "closed without proof:\n{}", breaches.join("\n"));
        Ok(())
    }

    pub(crate) fn requirement(&self) -> Result<Requirement> {
        let networks = self.testbed.vantages.iter().map(|v| v.network.clone()).collect();
        Ok(Requirement {
            registry: self.registry()?,
            networks,
            successes: 3,
        })
    }

    /// Nothing of the registry was ever closed.
    pub(crate) fn assert_never_closed(&self) -> Result<()> {
        let journal = self.testbed.simulator().journal().snapshot();
        let targets = self
            .testbed
            .simulator()
            .with_world(|world| oracle::targets_of(world, &self.registry().unwrap_or_default()));
        let closing = oracle::closing_writes(&targets, &journal);
        ensure!(closing.is_empty(), "something was closed: {closing:?}");
        Ok(())
    }

    /// ARM writes since a point in the journal.
    pub(crate) fn writes_since(&self, since: u64) -> Vec<String> {
        oracle::writes_since(&self.testbed.simulator().journal().snapshot(), since)
    }

    /// Waits until the operator has looked at the registry `times` more often since a point in the journal.
    pub(crate) async fn visited(&self, since: u64, times: usize) -> Result<()> {
        let id = azure_sim::world::key(&self.registry()?);
        eventually(SETTLED, format!("{times} more visits"), || async {
            let reads = oracle::reads_since(&self.testbed.simulator().journal().snapshot(), since, &id);
            if reads >= times {
                Ok(())
            } else {
                Err(format!("{reads} visits"))
            }
        })
        .await
    }

    /// Private endpoints that exist in the simulated Azure and carry our mark.
    pub(crate) fn our_endpoints(&self) -> Vec<String> {
        self.testbed.simulator().with_world(|world| {
            world
                .of_kind("microsoft.network/privateendpoints")
                .filter(|e| e.body.pointer("/tags/secureregistry-owner").is_some())
                .map(|e| e.id.clone())
                .collect()
        })
    }

    /// The agent of this vantage point ends without a word: whoever has its token speaks for it now.
    pub(crate) fn take_over_agent(&mut self, vantage: &str) -> Result<()> {
        let agents = self.testbed.vantages.iter().filter(|v| !v.embedded);
        let at = agents.into_iter().position(|v| v.name == vantage);
        self.agents.remove(at.context("no such agent")?).kill9()?;
        Ok(())
    }

    /// Ends the operator without warning and starts another.
    pub(crate) async fn restart_operator(&mut self) -> Result<()> {
        self.restart_operator_with(OperatorOptions::default()).await
    }

    pub(crate) async fn restart_operator_with(&mut self, options: OperatorOptions) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.kill9()?;
        }
        self.operator = Some(self.testbed.start_operator(options).await?);
        Ok(())
    }
}

/// The example object, with changes made to its JSON.
pub(crate) fn example(change: impl FnOnce(&mut Value)) -> Result<SecureRegistry> {
    let text =
        std::fs::read_to_string(repository().join("examples/demo/secureregistry.yaml")).context("read the example")?;
    let mut objects = serde_saphyr::from_multiple::<Value>(&text).context("parse the example")?;
    let mut value = objects
        .drain(..)
        .find(|o| o["kind"] == "SecureRegistry")
        .context("the example holds a SecureRegistry")?;
    value["metadata"]["namespace"] = json!(NAMESPACE);
    change(&mut value);
    serde_json::from_value(value).context("read the changed example")
}
