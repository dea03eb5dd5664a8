//! Objects of files with what will come of each: what every command begins with that needs no cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use sreg_azure::AzureClient;
use sreg_domain::{ArmId, Cloud, Desired};
use sreg_offline::{Declared, Documents, Prospect, desired, look, prospect};
use sreg_planner::Violation;
use sreg_planner::plan::WaitReason;
use tokio::time::{Instant, sleep};

use crate::arguments::FromFiles;
use crate::progress::while_waiting;

/// Before it is looked at again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What was not read after this one is not going to be.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// An object of a file, and what will come of it; or what is wrong with one that does not even say which registry it is about.
pub(crate) type Prospective = (Declared, Result<Prospect, Vec<Violation>>);

/// Looks at Azure for every object that was asked for.
///
/// # Errors
/// Files cannot be read, an object that was named is not in them, or nobody signs in to Azure.
pub(crate) async fn prospects(typed: &FromFiles, cloud: &Arc<Cloud>) -> Result<Vec<Prospective>> {
    let documents = while_waiting("reading the files", read(typed)).await?;
    let chosen = chosen(&documents, &typed.objects)?;
    let settings = typed.plan.plan(Arc::clone(cloud));
    let signing_in = typed.account.sign_in(Arc::clone(cloud));
    let client = while_waiting("signing in to Azure", signing_in).await?;
    let mut prospects = Vec::new();
    for declared in chosen {
        let prospect = match desired(&documents, declared, &settings) {
            Ok(wanted) => {
                let what = format!("reading Azure for {}", called(declared));
                let looking = until_read(&client, &documents, wanted, typed.timeout);
                Ok(while_waiting(&what, looking).await)
            }
            Err(violations) => Err(violations),
        };
        prospects.push((declared.clone(), prospect));
    }
    Ok(prospects)
}

/// What every command but `plan` begins with: the object's name, and what will come of it.
///
/// # Errors
/// It does not say which registry it is about.
pub(crate) fn known((declared, prospect): Prospective) -> Result<(String, Prospect)> {
    let name = called(&declared);
    match prospect {
        Ok(prospect) => Ok((name, prospect)),
        Err(_) => bail!("{name} does not say which registry it is about: sreg plan tells what to write"),
    }
}

/// Azure throttles, and answers late: it is looked at again for what may pass, the pauses growing, as long as there is time.
async fn until_read(client: &AzureClient, documents: &Documents, wanted: Desired, timeout: Duration) -> Prospect {
    let end = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let (wanted_now, seen) = look(client, documents, wanted.clone(), Timestamp::now(), left).await;
        let prospect = prospect(documents, wanted_now, seen);
        let may_pass = prospect.unanswered().any(|wait| wait.reason == WaitReason::NotKnown);
        if !may_pass || pause > LONGEST_PAUSE || Instant::now() + pause >= end {
            return prospect;
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// Standard input may be open for ever: it is read aside, so that Ctrl-C is heard.
async fn read(typed: &FromFiles) -> Result<Documents> {
    if !typed.registries.is_empty() {
        return Documents::observing(&typed.registries, &typed.namespace).map_err(Into::into);
    }
    let (files, namespace) = (typed.files.clone(), typed.namespace.clone());
    let reading = tokio::task::spawn_blocking(move || Documents::read(&files, &namespace));
    Ok(reading.await.context("read the files")??)
}

/// The objects that were asked for, in the order of the files.
fn chosen<'a>(documents: &'a Documents, asked: &[String]) -> Result<Vec<&'a Declared>> {
    for name in asked {
        if !documents.registries.iter().any(|declared| is_called(declared, name)) {
            let there: Vec<String> = documents.registries.iter().map(called).collect();
            bail!(
                "the files hold no SecureRegistry {name}; they hold {}",
                there.join(", ")
            );
        }
    }
    let is_chosen = |declared: &&Declared| asked.is_empty() || asked.iter().any(|name| is_called(declared, name));
    Ok(documents.registries.iter().filter(is_chosen).collect())
}

/// `namespace/name`.
pub(crate) fn called(declared: &Declared) -> String {
    let metadata = &declared.object.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

/// By name, by namespace and name, or by the id of the registry.
fn is_called(declared: &Declared, asked: &str) -> bool {
    if let Ok(id) = asked.parse::<ArmId>() {
        return declared.object.spec.registry.resource_id.parse() == Ok(id);
    }
    declared.object.metadata.name.as_deref() == Some(asked) || called(declared) == asked
}
