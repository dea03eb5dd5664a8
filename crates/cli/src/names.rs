//! `hosts`: names of private endpoints with their addresses, in the words of whoever makes them answer. `fqdns`: the names that clients ask
//! for, as discovery lists them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use sreg_domain::{Fact, Fqdn};
use sreg_offline::Prospect;
use sreg_planner::{DnsTexts, dns_texts};

use crate::arguments::{Form, FqdnsFlags, HostsFlags};
use crate::files::{known, prospects};
use crate::{Ended, print};

/// Prints them for every object that was asked for.
///
/// # Errors
/// As for `plan`; or no endpoint has its names and addresses yet.
pub(crate) async fn hosts(typed: &HostsFlags) -> Result<Ended> {
    let cloud = typed.from.account.connection.cloud.cloud()?;
    let mut text = String::new();
    for each in prospects(&typed.from, &cloud).await? {
        let (name, prospect) = known(each)?;
        let mut known = dns_texts(&prospect.desired, &prospect.seen);
        known.retain(|entry, _| typed.endpoint.as_ref().is_none_or(|asked| asked == entry));
        if known.is_empty() {
            bail!(
                "{name}: private endpoints have no names and addresses yet{}: sreg plan tells what is made first",
                typed
                    .endpoint
                    .as_ref()
                    .map(|entry| format!(" at {entry}"))
                    .unwrap_or_default()
            );
        }
        for (entry, texts) in &known {
            writeln!(text, "{} {name}, entry {entry}", comment(typed.form))?;
            text += form(texts, typed.form);
        }
    }
    print(&text)?;
    Ok(Ended::Nothing)
}

fn form(texts: &DnsTexts, form: Form) -> &str {
    match form {
        Form::Hosts => &texts.hosts,
        Form::Zone => &texts.zone,
        Form::Names => &texts.names,
        Form::Forwarders => &texts.forwarders,
    }
}

/// What begins a comment there.
fn comment(form: Form) -> &'static str {
    match form {
        Form::Hosts | Form::Forwarders => "#",
        Form::Zone | Form::Names => ";",
    }
}

/// Prints the names that discovery lists.
///
/// # Errors
/// As for `plan`; or discovery does not answer, or lists nothing.
pub(crate) async fn fqdns(typed: &FqdnsFlags) -> Result<Ended> {
    let cloud = typed.from.account.connection.cloud.cloud()?;
    let mut text = String::new();
    for each in prospects(&typed.from, &cloud).await? {
        let (name, prospect) = known(each)?;
        let discovered = discovered(&prospect).with_context(|| format!("{name}: ask for the registry's names"))?;
        if !typed.quiet {
            writeln!(text, "# {name}: {}", prospect.desired.registry)?;
        }
        for fqdn in discovered {
            let carriers = carriers(&prospect, fqdn);
            match typed.quiet {
                true => writeln!(text, "{fqdn}")?,
                false if carriers.is_empty() => {
                    writeln!(text, "{fqdn}  carried by no private endpoint that is known here")?
                }
                false => writeln!(text, "{fqdn}  {}", carriers.join(", "))?,
            }
        }
    }
    print(&text)?;
    Ok(Ended::Nothing)
}

fn discovered(prospect: &Prospect) -> Result<&[Fqdn]> {
    match &prospect.seen.azure.discovery {
        Fact::Seen(hosts) if !hosts.is_empty() => Ok(hosts),
        Fact::Seen(_) | Fact::Absent => bail!(
            "discovery of {} lists none: a registry that is being created has none yet",
            prospect.desired.registry
        ),
        Fact::Unknown(why) => {
            let told = prospect.unanswered().next().map(|wait| wait.message.clone());
            bail!("{}", told.unwrap_or_else(|| why.message.clone()))
        }
    }
}

/// Private endpoints with an address for the name.
fn carriers(prospect: &Prospect, fqdn: &Fqdn) -> Vec<String> {
    let endpoints = prospect.seen.azure.endpoints.iter();
    let carried = endpoints.flat_map(|(id, endpoint)| {
        let members = endpoint.seen().and_then(|endpoint| endpoint.members.seen());
        let members = members
            .into_iter()
            .flatten()
            .filter(|member| member.fqdns.contains(fqdn));
        members.map(|member| format!("{} at {}", id.name(), member.address))
    });
    carried.collect()
}
