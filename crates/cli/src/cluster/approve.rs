//! `approve`: a ChangeApproval of what status asks for. Whoever approves is shown what it is first.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, anyhow, bail};
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use sreg_api::status::ApprovalWanted;
use sreg_api::{ChangeApproval, ChangeApprovalSpec, ChangeKind};

use super::{Cluster, Object, said};
use crate::arguments::ApproveFlags;
use crate::progress::while_waiting;
use crate::{Ended, print};

/// Approves the change that is asked for.
///
/// # Errors
/// Nothing is asked for, several things are and none was named, nobody said yes, or the cluster refuses.
pub(crate) async fn approve(typed: &ApproveFlags) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let object = while_waiting("asking the cluster", cluster.object(&typed.object)).await?;
    let wanted = wanted(&object, typed.change)?;
    let change = wanted
        .change
        .parse::<ChangeKind>()
        .map_err(|_| anyhow!("{} is a change of another version", wanted.change))?;
    let sentence = format!(
        "{}/{}: {change} ({}): {}",
        object.namespace, object.name, wanted.digest, wanted.summary
    );
    if !typed.yes {
        let question = sentence.clone();
        tokio::task::spawn_blocking(move || confirm(&question))
            .await
            .context("ask")??;
    }
    let mut approval = ChangeApproval::new(
        "",
        ChangeApprovalSpec {
            secure_registry_name: object.name.clone(),
            change,
            digest: wanted.digest.clone(),
            approved_by: cluster.user().await?,
        },
    );
    approval.metadata.name = None;
    approval.metadata.generate_name = Some(format!("{}-", object.name));
    let api: Api<ChangeApproval> = Api::namespaced(cluster.client.clone(), &object.namespace);
    let made = api.create(&PostParams::default(), &approval).await;
    let made = made.map_err(|error| said("create a ChangeApproval", &error))?;
    print(&format!("approved by ChangeApproval {}: {sentence}\n", made.name_any()))?;
    Ok(Ended::Nothing)
}

fn wanted(object: &Object, change: Option<ChangeKind>) -> Result<ApprovalWanted> {
    let all = &object.known()?.approvals_wanted;
    let is_meant = |wanted: &&ApprovalWanted| change.is_none_or(|change| wanted.change == change.to_string());
    let meant: Vec<&ApprovalWanted> = all.iter().filter(is_meant).collect();
    let listed = |all: &[&ApprovalWanted]| {
        let told = all
            .iter()
            .map(|wanted| format!("--change {} ({})", wanted.change, wanted.summary));
        told.collect::<Vec<_>>().join("; ")
    };
    match (&meant[..], change) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(change)) => bail!(
            "{}/{} asks for no approval of {change}; it asks for: {}",
            object.namespace,
            object.name,
            listed(&all.iter().collect::<Vec<_>>())
        ),
        ([], None) => bail!(
            "{}/{} asks for no approval: sreg why {}/{} says what it waits for",
            object.namespace,
            object.name,
            object.namespace,
            object.name
        ),
        (several, _) => bail!("say which of these you approve: {}", listed(several)),
    }
}

/// Somebody has to have read it.
fn confirm(sentence: &str) -> Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!("this would be approved, and nobody is there to ask: repeat it with --yes: {sentence}");
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{sentence}\napprove? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was approved"),
    }
}
