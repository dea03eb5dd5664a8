//! The world that `KEEP=1 make demo` leaves up.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use azure_sim::journal::Entry;
use sreg_testbed::{OperatorOptions, Testbed, repository, worlds};
use sreg_testkit::eventually;

#[tokio::test]
async fn the_operators_token_for_azure_is_renewed_in_its_place() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let _operator = testbed.start_operator(OperatorOptions::default()).await?;
    let file = testbed.path("azure-token");
    let first = std::fs::read_to_string(&file)?;
    let renewed = testbed.renew_azure_token().await?;
    ensure!(renewed == file, "the operator would not find {}", renewed.display());
    let second = std::fs::read_to_string(&file)?;
    ensure!(first != second && second.ends_with('\n'));
    Ok(())
}

/// The loop that `KEEP=1 make demo` leaves running, at a quicker pace: the operator goes on reading Azure with tokens that did not exist
/// when it started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_goes_on_reading_azure_while_its_token_is_kept_fresh() -> Result<()> {
    let mut world = worlds::demo()?;
    // Azure's own tokens last so short that each visit exchanges the operator's again.
    world.seed.token_lifetime_seconds = 2;
    let testbed = Testbed::start(world).await?;
    testbed.grant().await?;
    let first = std::fs::read_to_string(testbed.path("azure-token")).ok();
    let _operator = testbed.start_operator(OperatorOptions::default()).await?;
    testbed
        .plane
        .apply_path(repository().join("examples/demo/secureregistry.yaml"))
        .await?;
    let reads = || {
        let journal = testbed.simulator().journal().snapshot();
        let is_read = |entry: &Entry| match entry {
            Entry::Request(request) => !request.write && request.status == 200 && request.path.contains("/registries/"),
            Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => false,
        };
        journal.iter().filter(|record| is_read(&record.entry)).count()
    };
    let looked = async {
        let mut tokens = BTreeSet::new();
        let began = reads();
        eventually(Duration::from_secs(120), "Azure to be read with renewed tokens", || {
            tokens.extend(std::fs::read_to_string(testbed.path("azure-token")).ok());
            let (known, more) = (tokens.len(), reads() - began);
            async move {
                match known > 3 && more > 3 {
                    true => Ok(()),
                    false => Err(format!("{known} tokens, {more} reads")),
                }
            }
        })
        .await?;
        ensure!(first.is_none_or(|first| tokens.iter().any(|token| *token != first)));
        let (before, last) = (reads(), std::fs::read_to_string(testbed.path("azure-token"))?);
        eventually(Duration::from_secs(120), "Azure to be read after one more", || {
            let renewed = std::fs::read_to_string(testbed.path("azure-token")).is_ok_and(|token| token != last);
            let more = reads() - before;
            async move {
                match renewed && more > 3 {
                    true => Ok(()),
                    false => Err(format!("renewed: {renewed}, {more} reads")),
                }
            }
        })
        .await
    };
    tokio::select! {
        kept = testbed.renew_azure_token_each(Duration::from_millis(1500)) => kept,
        looked = looked => looked,
    }
}
