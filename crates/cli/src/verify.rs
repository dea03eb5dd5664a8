//! `verify`: the hops of every path from where somebody stands, by the code that agents run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sreg_api::probe::{ProbeOutcome, ProbePath};
use sreg_domain::Cloud;
use sreg_offline::Prospect;
use sreg_probe::{Attempt, Dialer, ResolverAddress, TrustRoots, Via, attempt};
use sreg_settings::read_if_named;
use tokio::time::Instant;

use crate::arguments::VerifyFlags;
use crate::files::{known, prospects};
use crate::progress::while_waiting;
use crate::{Ended, print};

/// Longest that one path is tried, as agents do.
const LIMIT: Duration = Duration::from_secs(10);

/// Tries every path that was asked for.
///
/// # Errors
/// As for `plan`; or nobody knows yet what the paths must lead to.
pub(crate) async fn verify(typed: &VerifyFlags) -> Result<Ended> {
    let cloud = typed.from.account.connection.cloud.cloud()?;
    let via = via(typed, &cloud)?;
    let (mut text, mut all_pass) = (String::new(), true);
    for each in prospects(&typed.from, &cloud).await? {
        let (name, prospect) = known(each)?;
        let paths = paths(typed, &prospect);
        if paths.is_empty() {
            bail!(
                "{name}: no such path is known yet: private endpoints need names and addresses first, and sreg plan tells what is missing"
            );
        }
        writeln!(text, "{name}")?;
        for (path, servers) in paths.values() {
            let began = Instant::now();
            let tried = while_waiting(&format!("trying {}", path.fqdn), attempt(&via, servers, path, LIMIT)).await;
            all_pass &= tried.outcome == ProbeOutcome::Succeeded;
            tell(path, &tried, began.elapsed(), &mut text)?;
        }
    }
    print(&text)?;
    Ok(if all_pass { Ended::Nothing } else { Ended::Failed })
}

fn via(typed: &VerifyFlags, cloud: &Cloud) -> Result<Via> {
    let extra = read_if_named("--probe-ca-file", typed.probe_ca_file.as_deref())?;
    Ok(Via {
        dialer: Dialer::from_socks5_address(typed.socks5_address.as_deref()).context("use --socks5-address")?,
        resolver: ResolverAddress::from_text(typed.resolver_address.as_deref()).context("use --resolver-address")?,
        roots: TrustRoots::load(extra.as_deref()).context("load the certificate authorities")?,
        host_suffixes: cloud.host_suffixes(),
        storage_version: cloud.storage.service_version.to_string(),
    })
}

/// Each name once, with the DNS servers that the spec names for the network whose path it is.
fn paths<'a>(typed: &VerifyFlags, prospect: &'a Prospect) -> BTreeMap<&'a str, (&'a ProbePath, Vec<SocketAddr>)> {
    let asked = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(is));
    let all = prospect.paths.iter();
    let wanted = all.filter(|path| asked(&typed.network, &path.network) && asked(&typed.fqdn, &path.path.fqdn));
    let with_servers = wanted.map(|path| {
        let networks = prospect.desired.client_networks();
        // Only whoever says where they stand is asked by that network's own servers.
        let of = networks
            .iter()
            .find(|network| typed.network.as_deref() == Some(network.name.as_str()));
        let servers = of.map(|network| network.dns_servers.clone()).unwrap_or_default();
        let servers = servers.into_iter().map(|server: IpAddr| SocketAddr::new(server, 53));
        (path.path.fqdn.as_str(), (&path.path, servers.collect()))
    });
    with_servers.collect()
}

fn tell(path: &ProbePath, tried: &Attempt, took: Duration, out: &mut String) -> Result<()> {
    let outcome = match tried.outcome {
        ProbeOutcome::Succeeded => "passes",
        ProbeOutcome::Failed => "fails",
        ProbeOutcome::Unknown => "not told",
    };
    let hop = tried.hop.map(|hop| format!(" at {hop}")).unwrap_or_default();
    writeln!(
        out,
        "  {}: {outcome}{hop} ({} ms): {}",
        path.fqdn,
        took.as_millis(),
        tried.message
    )?;
    writeln!(out, "      must be answered by {}", path.addresses.join(", "))?;
    if !tried.addresses.is_empty() {
        writeln!(out, "      is answered by      {}", tried.addresses.join(", "))?;
    }
    Ok(())
}
