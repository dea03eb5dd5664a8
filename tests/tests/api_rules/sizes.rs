//! How large objects may be: what others write, the operator reads.

use anyhow::Result;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{SOON, account, api, expect, object, operator, plane, refusal, rules};

#[tokio::test]
async fn annotations_owners_and_finalizers_are_few_whatever_the_kind() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("sizes").await?;
    let (admin, operator) = (plane.admin_client().await?, operator(plane).await?);
    let says = Some("at most 64 KiB of annotations and labels");
    let half = "x".repeat(40 * 1024);
    for kind in [
        "SecureRegistry",
        "BreakGlass",
        "ChangeApproval",
        "VantagePoint",
        "RegistryGrant",
    ] {
        let named = format!("sizes-{}", kind.to_lowercase());
        let good = object(rules().good[kind].clone(), &namespace, &named)?;
        let objects = api(&admin, kind, &namespace)?;
        let mut large = good.clone();
        large.metadata.annotations = Some([("a".to_owned(), half.clone()), ("b".to_owned(), half.clone())].into());
        // The policy may have come into force only now.
        sreg_testkit::eventually(SOON, format!("the policy on a large {kind}"), || async {
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let answer = refusal(objects.create(&dry, &large).await).map_err(|e| e.to_string())?;
            expect(kind, answer, says).map_err(|e| e.to_string())
        })
        .await?;
        let mut smaller = good;
        smaller.metadata.annotations = Some([("a".to_owned(), half.clone())].into());
        expect(
            kind,
            refusal(objects.create(&PostParams::default(), &smaller).await)?,
            None,
        )?;
        // Bytes count, whatever they are in letters.
        let wide = json!({"metadata": {"annotations": {"b": "\u{1F512}".repeat(8 * 1024)}}});
        let widened = objects
            .patch(&named, &PatchParams::default(), &Patch::Merge(&wide))
            .await;
        expect(kind, refusal(widened)?, says)?;
        let finalizer = |n| format!("example.com/f{n}");
        let held = json!({"metadata": {"finalizers": (0..17).map(finalizer).collect::<Vec<_>>()}});
        let held = objects
            .patch(&named, &PatchParams::default(), &Patch::Merge(&held))
            .await;
        expect(kind, refusal(held)?, says)?;
        let grow = json!({"metadata": {"annotations": {"b": half}}});
        let grown = objects
            .patch(&named, &PatchParams::default(), &Patch::Merge(&grow))
            .await;
        expect(kind, refusal(grown)?, says)?;
        let owner =
            |n| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{n}"), "uid": format!("{n}")});
        let owned = json!({"metadata": {"ownerReferences": (0..17).map(owner).collect::<Vec<_>>()}});
        let owned = objects
            .patch(&named, &PatchParams::default(), &Patch::Merge(&owned))
            .await;
        expect(kind, refusal(owned)?, says)?;
    }
    // Nobody else writes probes at all.
    let probe = object(rules().good["ConnectivityProbe"].clone(), &namespace, "large")?;
    let probes = api(&admin, "ConnectivityProbe", &namespace)?;
    let made = probes.create(&PostParams::default(), &probe).await;
    expect("a probe", refusal(made)?, Some("only the operator"))?;
    // Whoever has to let an object go is not held up by what others wrote into it.
    let registries = api(&operator, "SecureRegistry", &namespace)?;
    let grow = json!({"metadata": {"annotations": {"b": half}}});
    let grown = registries
        .patch("sizes-secureregistry", &PatchParams::default(), &Patch::Merge(&grow))
        .await;
    expect("the operator", refusal(grown)?, None)?;
    // What is too large by then can still be changed, as long as it does not grow.
    let mine = api(&admin, "SecureRegistry", &namespace)?;
    let settle = json!({"spec": {"verification": {"dnsSettle": "2h"}}});
    let settled = mine
        .patch("sizes-secureregistry", &PatchParams::default(), &Patch::Merge(&settle))
        .await;
    expect("a change of what is too large", refusal(settled)?, None)
}

#[tokio::test]
async fn a_probe_has_no_more_results_than_paths_that_it_asks_for() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("results").await?;
    let operator = operator(plane).await?;
    let probe = object(rules().good["ConnectivityProbe"].clone(), &namespace, "probe")?;
    let asked = probe.data["spec"]["paths"].as_array().map_or(0, Vec::len);
    api(&operator, "ConnectivityProbe", &namespace)?
        .create(&PostParams::default(), &probe)
        .await?;
    let agent = account(plane, &namespace, "agent").await?;
    let probes = api(&agent, "ConnectivityProbe", &namespace)?;
    let write = async |results: usize| {
        let result = |n| json!({"fqdn": format!("h{n}.example"), "outcome": "Failed", "hop": "Dns", "message": "", "successes": 0, "failures": 1});
        let status = json!({"status": {"results": (0..results).map(result).collect::<Vec<_>>()}});
        refusal(
            probes
                .patch_status("probe", &PatchParams::default(), &Patch::Merge(&status))
                .await,
        )
    };
    let says = format!(
        "this probe asks for {asked} paths, and its status tells of {}",
        asked + 1
    );
    sreg_testkit::eventually(SOON, "the policy on results", || async {
        let answer = write(asked + 1).await.map_err(|e| e.to_string())?;
        expect("too many", answer, Some(&says)).map_err(|e| e.to_string())
    })
    .await?;
    expect("as many as asked", write(asked).await?, None)
}
