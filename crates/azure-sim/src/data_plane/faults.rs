//! Faults of the data plane by rule, and the one unsettled question that it plays (U7: what a denied registry answers).
//! `/_sim` and tests write the table, the servers consult it at each question, stream, handshake and request.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// A rule. It applies where every condition that it states holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataPlaneFault {
    /// Only what comes from this network; absent: from all.
    #[serde(default)]
    pub network: Option<String>,
    /// Only this name or address, whatever its case; absent: all. For DNS the name asked for or the server's address, for
    /// streams the address or a name served there.
    #[serde(default)]
    pub host: Option<String>,
    /// What happens.
    pub effect: Effect,
    /// How often it still happens; absent: until removed.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Streams get silence; questions too, where the rule names the DNS server or no host.
    Drop,
    /// Streams are refused.
    Refuse,
    /// Streams are accepted and reset at once.
    Reset,
    /// TLS shows a certificate for another name, under the right authority.
    WrongCertificate,
    /// TLS shows a certificate for the right names under an authority that nobody trusts.
    ForeignAuthority,
    /// Something that is not the service answers every request with 200 and an HTML page.
    ForeignService,
    /// Requests get this status.
    Http(HttpFault),
    /// Questions get SERVFAIL.
    DnsServFail,
    /// Questions get no answer.
    DnsTimeout,
    /// Questions get NXDOMAIN.
    DnsNxDomain,
    /// Questions for A records get these addresses.
    DnsAddresses(Vec<Ipv4Addr>),
}

/// An HTTP answer in place of the service's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpFault {
    /// Status, such as 503 or 429; what is no status counts as 503.
    pub status: u16,
    /// `Retry-After` in seconds.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

/// What a registry answers on its public leg once public access is disabled (U7; azure.md §5.3 knows no reliable status).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryDenial {
    /// 403 `UserError` with private-link text, to everybody.
    #[default]
    Forbidden,
    /// 401 to the unauthenticated, as everywhere; the denial (401 `UserError` with private-link text) only with a token.
    Challenge,
    /// 502 `UserError` with private-link text, to everybody.
    BadGateway,
    /// Metadata still answers: 200 with a token, 401 without.
    Metadata,
}

/// The moments at which faults are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A question has come; the rule's host may be the name or the server.
    Question,
    /// A stream is being opened.
    Stream,
    /// A handshake begins.
    Handshake,
    /// A request has come.
    Request,
}

impl Effect {
    fn belongs_to(&self, moment: Moment) -> bool {
        match self {
            Effect::Drop | Effect::Refuse | Effect::Reset => moment == Moment::Stream,
            Effect::WrongCertificate | Effect::ForeignAuthority => moment == Moment::Handshake,
            Effect::ForeignService | Effect::Http(_) => moment == Moment::Request,
            Effect::DnsServFail | Effect::DnsTimeout | Effect::DnsNxDomain | Effect::DnsAddresses(_) => {
                moment == Moment::Question
            }
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    rules: Vec<(u64, DataPlaneFault)>,
    registry_denial: RegistryDenial,
}

/// The shared table; clones write to the same one.
#[derive(Debug, Clone, Default)]
pub struct DataPlaneFaults {
    table: Arc<Mutex<Table>>,
}

impl DataPlaneFaults {
    /// Adds a rule and returns the number to remove it by. Earlier rules go first.
    pub fn add(&self, fault: DataPlaneFault) -> u64 {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        table.rules.push((number, fault));
        number
    }

    /// Removes a rule; `false` when there is none of this number (any more).
    pub fn remove(&self, number: u64) -> bool {
        let mut table = self.lock();
        let before = table.rules.len();
        table.rules.retain(|(n, _)| *n != number);
        table.rules.len() < before
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// The rules in force, with their numbers.
    pub fn list(&self) -> Vec<(u64, DataPlaneFault)> {
        self.lock().rules.clone()
    }

    /// Chooses what a registry answers where its public access is disabled.
    pub fn set_registry_denial(&self, denial: RegistryDenial) {
        self.lock().registry_denial = denial;
    }

    /// What a registry answers where its public access is disabled.
    pub fn registry_denial(&self) -> RegistryDenial {
        self.lock().registry_denial
    }

    /// The first rule that applies now, counted down.
    pub(super) fn strike<'a>(
        &self,
        moment: Moment,
        network: &str,
        hosts: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Effect> {
        self.strike_if(network, hosts, |fault| fault.effect.belongs_to(moment))
    }

    /// Whether a rule drops what is sent to this DNS server: [`Effect::Drop`] by its address, or without a host.
    pub(super) fn drops_questions(&self, network: &str, server: Ipv4Addr) -> bool {
        let server = server.to_string();
        self.strike_if(network, std::iter::once(server.as_str()), |fault| {
            fault.effect == Effect::Drop
        })
        .is_some()
    }

    fn strike_if<'a>(
        &self,
        network: &str,
        hosts: impl Iterator<Item = &'a str> + Clone,
        wanted: impl Fn(&DataPlaneFault) -> bool,
    ) -> Option<Effect> {
        let mut table = self.lock();
        let at = table.rules.iter().position(|(_, fault)| {
            wanted(fault)
                && fault.network.as_deref().is_none_or(|n| n == network)
                && fault
                    .host
                    .as_deref()
                    .is_none_or(|h| hosts.clone().any(|host| host.eq_ignore_ascii_case(h)))
        })?;
        let (_, fault) = table.rules.get_mut(at)?;
        let effect = fault.effect.clone();
        match &mut fault.times {
            None => {}
            Some(left) if *left > 1 => *left -= 1,
            Some(_) => {
                table.rules.remove(at);
            }
        }
        Some(effect)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: Option<&str>, host: Option<&str>, effect: Effect, times: Option<u32>) -> DataPlaneFault {
        DataPlaneFault {
            network: network.map(Into::into),
            host: host.map(Into::into),
            effect,
            times,
        }
    }

    #[test]
    fn a_rule_strikes_where_its_conditions_hold_and_as_often_as_it_says() {
        let faults = DataPlaneFaults::default();
        faults.add(rule(
            Some("hub"),
            Some("A.blob.core.windows.net"),
            Effect::Refuse,
            Some(2),
        ));
        let strike = |network, host| faults.strike(Moment::Stream, network, std::iter::once(host));
        assert_eq!(strike("spoke", "a.blob.core.windows.net"), None);
        assert_eq!(strike("hub", "b.blob.core.windows.net"), None);
        assert_eq!(strike("hub", "a.blob.core.windows.net"), Some(Effect::Refuse));
        assert_eq!(strike("hub", "a.blob.core.windows.net"), Some(Effect::Refuse));
        assert_eq!(strike("hub", "a.blob.core.windows.net"), None);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn dropping_a_name_silences_its_streams_and_leaves_questions_alone() {
        let faults = DataPlaneFaults::default();
        let number = faults.add(rule(None, Some("a.azurecr.io"), Effect::Drop, None));
        assert_eq!(
            faults.strike(Moment::Question, "hub", std::iter::once("a.azurecr.io")),
            None
        );
        assert!(!faults.drops_questions("hub", Ipv4Addr::new(168, 63, 129, 16)));
        assert_eq!(
            faults.strike(Moment::Stream, "hub", std::iter::once("a.azurecr.io")),
            Some(Effect::Drop)
        );
        assert!(faults.remove(number));
        faults.add(rule(Some("hub"), None, Effect::Drop, None));
        assert!(faults.drops_questions("hub", Ipv4Addr::new(168, 63, 129, 16)));
    }

    #[test]
    fn a_rule_is_written_in_json_as_the_documentation_says() {
        let text = r#"{"network":"hub","effect":{"http":{"status":503,"retryAfter":2}},"times":1}"#;
        let fault: DataPlaneFault = serde_json::from_str(text).unwrap();
        assert_eq!(
            fault.effect,
            Effect::Http(HttpFault {
                status: 503,
                retry_after: Some(2)
            })
        );
        assert!(serde_json::from_str::<DataPlaneFault>(r#"{"effect":"refuse","hots":"x"}"#).is_err());
    }
}
