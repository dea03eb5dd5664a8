//! `hosts`: names of private endpoints with their addresses, in the words of whoever makes them answer.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use sreg_planner::{DnsTexts, dns_texts};

use crate::arguments::{Form, HostsFlags};
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
