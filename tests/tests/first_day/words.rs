//! The words for our kinds, and who reads an object before the operator does.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use sreg_testbed::repository;
use sreg_testkit::kstatus;

use crate::plane;

const ONE_OF_EACH: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: ml-platform}
---
apiVersion: secureregistry.dev/v1alpha1
kind: VantagePoint
metadata: {name: hub-agent}
spec: {network: OnPremises, namespace: hub-agent, serviceAccountName: secure-registry-agent}
---
apiVersion: secureregistry.dev/v1alpha1
kind: BreakGlass
metadata: {name: incident-1, namespace: ml-platform}
spec: {secureRegistryName: contoso-models, reason: "builds cannot pull", requestedBy: admin, duration: 10m}
---
apiVersion: secureregistry.dev/v1alpha1
kind: ChangeApproval
metadata: {name: chg-1, namespace: ml-platform}
spec: {secureRegistryName: contoso-models, change: Lockdown, digest: "00112233445566778899", approvedBy: admin}
"#;

#[test]
fn no_kind_is_called_by_a_word_that_means_several() {
    let definitions = sreg_api::crd::definitions();
    let mut words = BTreeSet::new();
    let mut categories = BTreeSet::new();
    for definition in &definitions {
        let names = &definition.spec.names;
        let of_the_kind = [
            Some(names.plural.clone()),
            names.singular.clone(),
            Some(names.kind.to_lowercase()),
        ];
        let own: BTreeSet<String> = of_the_kind
            .into_iter()
            .flatten()
            .chain(names.short_names.iter().flatten().cloned())
            .collect();
        for word in own {
            assert!(words.insert(word.clone()), "{word} stands for two kinds");
        }
        categories.extend(names.categories.iter().flatten().cloned());
    }
    let both: Vec<&String> = categories.intersection(&words).collect();
    assert!(both.is_empty(), "{both:?} stand for one kind and for all");
    assert_eq!(categories.into_iter().collect::<Vec<_>>(), ["secureregistry-all"]);
}

#[tokio::test]
async fn each_word_for_a_secure_registry_means_that_kind_alone() -> Result<()> {
    let plane = plane().await?;
    plane.apply_yaml(ONE_OF_EACH).await?;
    let example = repository().join("examples/demo/secureregistry.yaml");
    let others = [
        "vantagepoint/hub-agent",
        "breakglass/incident-1",
        "changeapproval/chg-1",
    ];
    for word in [
        "secureregistry",
        "secureregistries",
        "sreg",
        "SecureRegistry",
        "secureregistries.secureregistry.dev",
    ] {
        plane.apply_path(&example).await?;
        let named = [word, "contoso-models", "-n", "ml-platform"];
        let one = |verb: &'static str| [&[verb][..], &named].concat();
        let got = plane
            .admin_kubectl(&[&one("get")[..], &["-o", "name"]].concat())
            .await?;
        ensure!(
            got.trim() == "secureregistry.secureregistry.dev/contoso-models",
            "{got}"
        );
        let described = plane.admin_kubectl(&one("describe")).await?;
        ensure!(
            described.contains("Kind:         SecureRegistry") && !described.contains("VantagePoint"),
            "{described}"
        );
        plane
            .admin_kubectl(&[&one("wait")[..], &["--for=create", "--timeout=10s"]].concat())
            .await?;
        let deleted = plane.admin_kubectl(&one("delete")).await?;
        ensure!(deleted.lines().count() == 1, "{deleted}");
        plane.apply_path(&example).await?;
        let deleted = plane
            .admin_kubectl(&["delete", word, "--all", "-n", "ml-platform"])
            .await?;
        ensure!(
            deleted.lines().count() == 1 && deleted.contains("contoso-models"),
            "{deleted}"
        );
        for other in others {
            plane
                .admin_kubectl(&["get", other, "-n", "ml-platform"])
                .await
                .with_context(|| format!("{other} is gone with `delete {word} --all`"))?;
        }
    }
    let all = plane
        .admin_kubectl(&["get", "secureregistry-all", "-n", "ml-platform", "-o", "name"])
        .await?;
    ensure!(all.lines().count() == others.len(), "{all}");
    Ok(())
}

#[tokio::test]
async fn a_pipeline_waits_for_the_operator_where_none_has_looked_at_the_object() -> Result<()> {
    let plane = plane().await?;
    plane.apply_yaml(ONE_OF_EACH).await?;
    let example = repository().join("examples/demo/secureregistry.yaml");
    let example = example.to_str().context("a path")?;
    plane.admin_kubectl(&["apply", "--server-side", "-f", example]).await?;
    let object = || async {
        let text = plane
            .admin_kubectl(&["get", "sreg", "contoso-models", "-n", "ml-platform", "-o", "json"])
            .await?;
        Ok::<serde_json::Value, anyhow::Error>(serde_json::from_str(&text)?)
    };
    let fresh = object().await?;
    let verdict = &kstatus(std::slice::from_ref(&fresh))?[0];
    ensure!(verdict.starts_with("InProgress"), "{verdict}\n{fresh:#}");
    // What the server filled in is no difference for anybody.
    let differs = plane.admin_kubectl(&["diff", "--server-side", "-f", example]).await?;
    ensure!(differs.is_empty(), "{differs}");
    // Also after somebody took the status away.
    let erase = r#"{"status": null}"#;
    plane
        .admin_kubectl(&[
            "patch",
            "sreg",
            "contoso-models",
            "-n",
            "ml-platform",
            "--subresource=status",
            "--type=merge",
            "-p",
            erase,
        ])
        .await?;
    let verdict = &kstatus(&[object().await?])?[0];
    ensure!(verdict.starts_with("InProgress"), "{verdict}");
    Ok(())
}
