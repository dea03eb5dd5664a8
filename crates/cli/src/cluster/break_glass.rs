//! `break-glass`: a BreakGlass for a while, and its end.

use anyhow::{Result, bail};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use sreg_api::{BreakGlass, BreakGlassPhase, BreakGlassSpec};
use sreg_domain::duration;

use super::{Cluster, said};
use crate::arguments::BreakGlassFlags;
use crate::progress::while_waiting;
use crate::{Ended, print};

/// Opens a registry for a while, or ends that.
///
/// # Errors
/// The cluster refuses, or there is nothing to end.
pub(crate) async fn break_glass(typed: &BreakGlassFlags) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let object = while_waiting("asking the cluster", cluster.object(&typed.object)).await?;
    let api: Api<BreakGlass> = Api::namespaced(cluster.client.clone(), &object.namespace);
    let name = format!("{}/{}", object.namespace, object.name);
    // Clap demands both where it is no end.
    let (Some(lasts), Some(reason), false) = (typed.lasts, &typed.reason, typed.end) else {
        return end(&api, &object.name, &name).await;
    };
    let mut glass = BreakGlass::new(
        "",
        BreakGlassSpec {
            secure_registry_name: object.name.clone(),
            reason: reason.clone(),
            requested_by: cluster.user().await?,
            duration: duration::show(lasts),
        },
    );
    glass.metadata.name = None;
    glass.metadata.generate_name = Some(format!("{}-", object.name));
    let made = api.create(&PostParams::default(), &glass).await;
    let made = made.map_err(|error| said("create a BreakGlass", &error))?.name_any();
    print(&format!(
        "BreakGlass {made} asks for {name} to be open for {}: sreg why {name} says how far it is; sreg break-glass {name} --end ends it early\n",
        duration::show(lasts)
    ))?;
    Ok(Ended::Nothing)
}

async fn end(api: &Api<BreakGlass>, registry: &str, name: &str) -> Result<Ended> {
    let all = api.list(&ListParams::default()).await;
    let all = all.map_err(|error| said("list BreakGlasses", &error))?;
    let lasts = |glass: &BreakGlass| match glass.status.as_ref().map(|status| status.phase) {
        None | Some(BreakGlassPhase::Pending | BreakGlassPhase::Active | BreakGlassPhase::Ignored) => true,
        Some(BreakGlassPhase::Expired | BreakGlassPhase::UsedUp | BreakGlassPhase::Spent) => false,
    };
    let mut ended = Vec::new();
    for glass in all
        .items
        .iter()
        .filter(|glass| glass.spec.secure_registry_name == registry && lasts(glass))
    {
        let glass = glass.name_any();
        let deleted = api.delete(&glass, &DeleteParams::default()).await;
        deleted.map_err(|error| said(&format!("delete BreakGlass {glass}"), &error))?;
        ended.push(glass);
    }
    if ended.is_empty() {
        bail!("no BreakGlass of {name} is under way: kubectl get breakglasses shows those that were");
    }
    print(&format!(
        "ended BreakGlass {}: {name} is locked again once every path is proven anew\n",
        ended.join(", ")
    ))?;
    Ok(Ended::Nothing)
}
