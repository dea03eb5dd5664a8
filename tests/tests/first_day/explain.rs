//! What `kubectl explain` tells, by the real kubectl.

use std::time::Duration;

use anyhow::{Result, ensure};
use sreg_testbed::repository;
use sreg_testkit::eventually;

use crate::plane;

const SOON: Duration = Duration::from_secs(60);

/// One sentence, none of CEL's own.
#[tokio::test]
async fn what_is_no_duration_is_refused_in_one_sentence() -> Result<()> {
    let plane = plane().await?;
    let example = std::fs::read_to_string(repository().join("examples/demo/secureregistry.yaml"))?;
    plane
        .apply_path(repository().join("examples/demo/namespace.yaml"))
        .await?;
    let folder = tempfile::tempdir()?;
    for (written, instead, sentence) in [
        (
            "dnsSettle: 2s",
            "dnsSettle: soon",
            "must be a duration between 1s and 24h, written like 90s, 10m or 1h30m",
        ),
        (
            "dnsSettle: 2s",
            "dnsSettle: 0s",
            "must be a duration between 1s and 24h, written like 90s, 10m or 1h30m",
        ),
        (
            "dnsSettle: 2s",
            "dnsSettle: 876000h",
            "must be a duration between 1s and 24h, written like 90s, 10m or 1h30m",
        ),
        (
            "maxAge: 1m",
            "maxAge: 8760h",
            "must be a duration between 1s and 2h, written like 90s, 10m or 1h30m",
        ),
        (
            "maxAge: 1m",
            "maxAge: often",
            "must be a duration between 1s and 2h, written like 90s, 10m or 1h30m",
        ),
        (
            "interval: 500ms",
            "interval: 1d",
            "must be a duration between 100ms and 10m, written like 90s, 10m or 1h30m",
        ),
    ] {
        let file = folder.path().join("bad.yaml");
        std::fs::write(&file, example.replacen(written, instead, 1))?;
        let answer = plane
            .kubectl(
                &["apply", "--server-side", "-f", &file.to_string_lossy()],
                plane.admin_kubeconfig(),
            )
            .await?;
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        let complaints = said.matches("Invalid value").count();
        ensure!(
            complaints == 1 && said.contains(sentence) && !said.contains("rule") && !said.contains("match"),
            "{instead}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_explains_defaults_and_what_each_value_means() -> Result<()> {
    let plane = plane().await?;
    for (field, words) in [
        ("sreg.spec.verification.dnsSettle", &["Default: `1h`", "1s to 24h"][..]),
        ("sreg.spec.verification.consecutiveSuccesses", &["Default: `3`"]),
        ("sreg.spec.drift.interval", &["Default: `10m`"]),
        (
            "sreg.spec.publicAccess.desired",
            &["Default: `Disabled`", "`Enabled`: Open"],
        ),
        (
            "sreg.spec.managementPolicy",
            &["`Observe`: Zero writes", "Default: `Enforce`"],
        ),
        (
            "sreg.spec.endpoints.dns.mode",
            &["`Managed`: ", "`Existing`: ", "`Policy`: ", "`External`: ", "Default: "],
        ),
        (
            "sreg.spec.publicAccess.lockdown.waitFor",
            &["`Approval`: ", "`Window`: "],
        ),
        ("sreg.spec.nameChanges.waitFor", &["`Approval`: "]),
        ("vantagepoint.spec.network", &["`OnPremises`: "]),
        ("secureregistry.status.observedGeneration", &["has not looked"]),
    ] {
        // The server publishes the schema of a definition a moment after it serves it.
        let said = eventually(SOON, format!("kubectl explain {field}"), || async {
            let said = plane.admin_kubectl(&["explain", field]).await;
            said.map_err(|error| error.to_string())
        })
        .await?;
        let flowing = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            ensure!(flowing.contains(word), "{field} does not say {word:?}:\n{said}");
        }
    }
    Ok(())
}
